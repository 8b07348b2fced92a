"""What the administrator of this host allows its coordinator: a file that only root can write, and the guard that keeps it."""

from agent.policy.file import DEFAULT_FILE, NoPolicy, PolicyFile
from agent.policy.guard import Guard
from agent.policy.memory import NAME as MEMORY_NAME
from agent.policy.memory import Memory
from agent.policy.terms import seen, summary

__all__ = ["DEFAULT_FILE", "MEMORY_NAME", "Guard", "Memory", "NoPolicy", "PolicyFile", "seen", "summary"]
