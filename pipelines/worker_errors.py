"""What a worker raised, out of what the runners make of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from schemas import errors
from schemas.errors import CorpusmillError

_WHILE_RUNNING = re.compile(r"\s*\[while running '[^']*'\]")
_INTERRUPT = re.compile(r"^KeyboardInterrupt\b", re.MULTILINE)
_OURS = re.compile(r"(?:schemas\.errors\.)?(\w+Error): ([^\n\\]+)")
_RAISED = re.compile(r"^([A-Za-z_][\w.]*)(?:: ([^\n]*))? \[while running '([^']*)'\]", re.MULTILINE)
"""The last line of a Python traceback from a worker, with the step that Beam adds."""
_REASON_CHARS = 400


class JobFailed(CorpusmillError):
    """A job ended without its work done, for a reason that is none of ours."""


@contextmanager
def in_our_words(runner: str) -> Iterator[None]:
    """Turn what Beam makes of a worker's error back into that error.

    Raises:
        CorpusmillError: one of ours that a worker raised, with its own line.
        JobFailed: a portable runner's job failed of something else: which step, of what.
        KeyboardInterrupt: Ctrl-C, whatever Beam wraps it in.
    """
    try:
        yield
    except CorpusmillError as error:
        raise type(error)(_WHILE_RUNNING.sub("", str(error))) from error
    except RuntimeError as error:
        trace = str(error)
        if _INTERRUPT.search(trace):
            raise KeyboardInterrupt from error
        found = find_ours(trace) or find_raised(trace, runner)
        if found is None:
            raise
        raise found from error


def find_ours(trace: str) -> CorpusmillError | None:
    """Portable runners hand a worker's exception over as text: look for one of ours in it."""
    for name, message in reversed(_OURS.findall(trace)):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, CorpusmillError):
            return kind(_WHILE_RUNNING.sub("", message).strip())
    return None


def find_raised(trace: str, runner: str) -> JobFailed | None:
    """Which step raised what. A worker's traceback is long: its last line says what happened."""
    raised = _RAISED.findall(trace)
    if not raised:
        return None
    kind, message, step = raised[-1]
    reason = f"{kind}: {message}" if message else kind
    return JobFailed(
        f"the job on {runner} failed in step {step}: {reason[:_REASON_CHARS]} "
        "(--debug shows the traceback; what was finished is kept)"
    )
