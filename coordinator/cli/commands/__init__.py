"""The commands, a module a noun: each declares its arguments, asks the coordinator, and shows the answer."""
