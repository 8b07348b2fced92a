"""What is learned of a deployment from outside of its hosts, beyond the alarms of a live one: whether it regresses after its success."""
