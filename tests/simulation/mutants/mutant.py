"""A guard that is gone: by a subclass where it is a method, and by a swap for the length of a world where it is a function of the core."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from inspect import signature
from types import ModuleType

from tests.simulation.world import Mutation

Swap = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Mutant:
    """A guard that is gone."""

    guard: str
    mutation: Mutation = field(default_factory=Mutation)
    swap: Swap = nullcontext


def swapped(module: ModuleType | type, name: str, mutant: object) -> Swap:
    """The core's functions are not handed around, so they can only be removed where they stand. The mutant must be called alike."""
    original = getattr(module, name)
    if callable(original):
        assert callable(mutant)
        assert len(signature(original).parameters) == len(signature(mutant).parameters), name

    @contextmanager
    def swap() -> Iterator[None]:
        setattr(module, name, mutant)
        try:
            yield
        finally:
            setattr(module, name, original)

    return swap


def together(*swaps: Swap) -> Swap:
    """A guard that stands in several places."""

    @contextmanager
    def swap() -> Iterator[None]:
        with ExitStack() as stack:
            for one in swaps:
                stack.enter_context(one())
            yield

    return swap
