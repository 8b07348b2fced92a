"""The cluster's certificate authority: who an agent, an operator and the coordinator itself are to each other."""

from coordinator.adapters.authority.authority import Authority, Lifetimes
from coordinator.adapters.authority.certificates import Unusable, fingerprint

__all__ = ["Authority", "Lifetimes", "Unusable", "fingerprint"]
