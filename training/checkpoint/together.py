"""Work that one rank does for all, with its result or its error known to all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import distributed

from schemas.errors import CorpusmillError
from training.world import TIMEOUT

_Result = TypeVar("_Result")
TOLD_BY_FIRST = "rank 0 raised it, and says so"
"""Note on an error that another rank raised."""

_TOLD = (OSError, CorpusmillError)
"""Errors that travel. Others are mistakes in the program and end the rank."""


class Together:
    """All ranks, over a group of its own: a thread may use it beside the training step.

    Without torch.distributed, or on one rank, it is this process.
    """

    def __init__(self) -> None:
        """Every rank calls it at the same time."""
        several = distributed.is_initialized() and distributed.get_world_size() > 1
        self.group = _own_group() if several else None
        self.rank = distributed.get_rank() if several else 0

    def on_first(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns on rank 0, on all ranks. Raises what it raises there."""
        answer: list[Any] = [_try(work) if self.rank == 0 else None]
        if self.group is not None:
            distributed.broadcast_object_list(answer, src=0, group=self.group)
        result, error = answer[0]
        if error is not None:
            if self.rank:
                error.add_note(TOLD_BY_FIRST)
            raise error
        return result

    def on_each(self, work: Callable[[], _Result]) -> list[_Result]:
        """What `work` returns on each rank, on all ranks. Raises the first rank's error."""
        answers: list[Any] = [_try(work)]
        if self.group is not None:
            mine = answers[0]
            answers = [None] * distributed.get_world_size()
            distributed.all_gather_object(answers, mine, group=self.group)
        for _, error in answers:
            if error is not None:
                raise error
        return [result for result, _ in answers]


def told_by_first(error: BaseException) -> bool:
    """Whether rank 0 raised the error, and this rank only repeats it."""
    return TOLD_BY_FIRST in getattr(error, "__notes__", ())


def _own_group() -> distributed.ProcessGroup:
    group = distributed.new_group(backend="gloo", timeout=TIMEOUT)
    assert isinstance(group, distributed.ProcessGroup)
    return group


def _try(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return work(), None
    except _TOLD as error:
        return None, error
