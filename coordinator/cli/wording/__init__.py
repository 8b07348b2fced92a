"""How things are spelt on the command line, in both directions."""
