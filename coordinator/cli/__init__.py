"""`hookline`, the operator's command line: a client of the coordinator like any other."""
