"""DRIVES: one inbox, one writer, one commit for everything drained, then the orders."""
