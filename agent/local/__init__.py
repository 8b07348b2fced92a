"""The agent as a program on its host: what an operator types, and what runs because of it."""
