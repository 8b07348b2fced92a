"""What happened and what is happening: deployments, their targets, and the history's entries, as the services ask for them."""
