"""What several suites share: seeds of the simulation, recording of stories, the mark of real processes, and gRPC's thread."""

import os
from pathlib import Path

import pytest
from grpc.aio import init_grpc_aio
from hypothesis import settings

settings.register_profile("hookline", deadline=None, print_blob=True)  # a busy machine is no failure; a failure replays
settings.load_profile("hookline")

# gRPC ends its thread with the last channel or server, from whichever thread the garbage collector runs in, and waits for it there: in a
# thread of the store's readers that is for ever. As long as this is held, none is the last.
init_grpc_aio()

DEFAULT_SEEDS = 200
E2E = Path(__file__).parent / "e2e"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --seeds and --rewrite."""
    group = parser.getgroup("hookline")
    group.addoption(
        "--seeds",
        type=int,
        default=int(os.environ.get("HOOKLINE_SEEDS", DEFAULT_SEEDS)),
        help="how many seeds the simulation runs, counted from 0 (default: HOOKLINE_SEEDS, or %(default)s)",
    )
    group.addoption("--seed", type=int, default=None, help="replay this one seed of the simulation")
    group.addoption("--rewrite", action="store_true", help="record the expected outcome of every story anew; review it as a diff")


@pytest.fixture(scope="session")
def seeds(pytestconfig: pytest.Config) -> range:
    """The seeds that the simulation runs: the one that --seed names, or the first --seeds of them."""
    only: int | None = pytestconfig.getoption("--seed")
    return range(int(pytestconfig.getoption("--seeds"))) if only is None else range(only, only + 1)


@pytest.fixture(scope="session")
def rewrite(pytestconfig: pytest.Config) -> bool:
    """Whether the outcome of a story is recorded instead of compared."""
    return bool(pytestconfig.getoption("--rewrite"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in tests/e2e as e2e."""
    for item in items:
        if E2E in item.path.parents:
            item.add_marker(pytest.mark.e2e)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a parameter that is bytes by its argument: an archive holds the time of its making, and parallel runs compare names."""
    return argname if isinstance(val, bytes) else None
