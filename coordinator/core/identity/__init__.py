"""Who may do what, who is let in as a host, and what a signature covers."""
