"""Protobuf to core and back, exactly, and nothing else: `operators` for what operators call, `agents` for the agents' stream."""
