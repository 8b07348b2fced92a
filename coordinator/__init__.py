"""The coordinator: decides what happens on every host, and remembers what did."""
