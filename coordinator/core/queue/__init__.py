"""A deployment group's queue: which deployments wait for their turn, in which order, and how a turn comes."""
