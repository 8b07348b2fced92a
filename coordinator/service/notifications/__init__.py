"""Who is told of what happens: what is sent, to whom, and until when it is tried."""
