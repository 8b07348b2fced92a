"""What a listener is: its server, what it shows of itself, and whether it still answers."""
