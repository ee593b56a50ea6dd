"""What a target offers: a file made of a launch, and the program that takes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from training.launch.description import Launch


class Rendered(NamedTuple):
    """One file that holds all of a job for one target."""

    file_name: str
    text: str
    executable: bool = False


class Target(NamedTuple):
    """A way to run a job."""

    summary: str
    render: Callable[[Launch], Rendered]
    """Raises UsageError for a key that this target needs and the job lacks."""
    submit: tuple[str, ...]
    """The command that takes the rendered text from its standard input."""
    runs_here: bool = False
    """The text is a script to be run on this machine, which needs the program of `submit`."""
