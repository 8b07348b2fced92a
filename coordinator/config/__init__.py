"""What `hookline-coordinator` may be told on its command line, and what it makes of that."""
