"""What would happen, before it does: the production rules for one group, on a clock of their own, with hosts that are made up."""
