"""The demo: real processes, a real web application, and a revision that does not work."""
