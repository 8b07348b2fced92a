"""The commands that begin deployments, move them on and end them."""
