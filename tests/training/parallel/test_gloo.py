from __future__ import annotations

import os
import time

import pytest
import torch
from torch import distributed

from tests.builders.gloo import RankFailed, Ranks


def total(addend: int) -> int:
    number = torch.tensor(distributed.get_rank() + addend)
    distributed.all_reduce(number)
    return int(number)


def fail_on(rank: int) -> None:
    if distributed.get_rank() == rank:
        raise ValueError(f"rank {rank} has had enough")
    distributed.barrier()


def die_on(rank: int) -> None:
    if distributed.get_rank() == rank:
        os._exit(3)
    distributed.barrier()


def hang_on(rank: int) -> None:
    if distributed.get_rank() == rank:
        time.sleep(60)


@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_see_each_other(ranks: Ranks, world: int) -> None:
    assert ranks.run(total, 10, world=world) == [world * (world - 1) // 2 + 10 * world] * world


@pytest.mark.slow
def test_a_failure_is_told_and_the_next_task_runs() -> None:
    pool = Ranks(2)
    with pytest.raises(RankFailed, match="rank 1 has had enough"):
        pool.run(fail_on, 1)
    with pytest.raises(RankFailed, match="rank 0: the process died"):
        pool.run(die_on, 0)
    with pytest.raises(RankFailed, match="rank 1: no answer in time"):
        pool.run(hang_on, 1, timeout_seconds=8)
    assert pool.run(total, 0) == [1] * 2
    pool.close()
