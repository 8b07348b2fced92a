"""A simulated fleet, and the servers that it is deployed to by: the coordinator, and hubs that do nothing else."""
