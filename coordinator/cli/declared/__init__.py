"""What is declared in files: `hookline apply` makes the coordinator have it, `hookline export` writes what it has."""
