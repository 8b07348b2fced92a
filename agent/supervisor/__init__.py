"""The supervisor: a small process of its own that runs hook scripts and outlives the agent.

Everything in this package starts in a few milliseconds: it imports a handful of light modules of the standard library and nothing else.
"""
