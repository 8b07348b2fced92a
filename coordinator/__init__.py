"""The coordinator: decides what happens on every host, and remembers what did."""


def program_version() -> str:
    """The version of the installed program."""
    from importlib.metadata import PackageNotFoundError, version  # here, because the command line never asks and starts faster without

    try:
        return version("hookline")
    except PackageNotFoundError:
        return "unknown"
