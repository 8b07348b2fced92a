"""What the coordinator lends a host to read a bundle that lies elsewhere."""
