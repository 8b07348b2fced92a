"""Who this host is to its coordinator: its key and certificate, how it got them, and how it gets the next ones."""

from agent.identity.files import Credentials, Enrolment, IdentityFiles

__all__ = ["Credentials", "Enrolment", "IdentityFiles"]
