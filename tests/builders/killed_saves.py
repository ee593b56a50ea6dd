"""Saves of checkpoints that are killed at every access to the file system, one after the other.

`python -m tests.builders.killed_saves FOLDER` prints the number of instants. It forks, so it is a
process of its own, without threads.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.presets import preset
from training.checkpoint import Checkpoints, read_tensors

SHAPE = preset("debug", 64)
EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}


def state(value: int) -> dict[str, dict[str, Tensor]]:
    return {"model": {"w": torch.full((64,), value)}, "optimizer": {"w.step": torch.tensor(value)}}


def save(folder: Path, step: int, value: int, asynchronous: bool = False) -> None:
    saved = Checkpoints(folder, 2)
    saved.save(step, state(value), {"value": value}, SHAPE, asynchronous)
    saved.wait()


def work(folder: Path) -> None:
    save(folder, 3, 3, asynchronous=True)
    save(folder, 4, 4)
    save(folder, 4, 40)


def kill_at(instant: int, folder: Path) -> None:
    """From now on: SIGKILL just before the access with this number."""
    seen = 0

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in EVENTS and str(arguments[0]).startswith(str(folder)):
            seen += 1
            if seen == instant:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


def survives(instant: int, base: Path, folder: Path) -> bool:
    """Whether `work` ended before the instant. Raises AssertionError for what it left."""
    shutil.copytree(base, folder)
    child = os.fork()
    if child == 0:
        kill_at(instant, folder)
        work(folder)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0, f"instant {instant}: {status}"
    lines: list[str] = []
    saved = Checkpoints(folder, 2, lines.append)
    ref = saved.latest()
    left = sorted(path.name for path in folder.iterdir())
    assert ref is not None, f"instant {instant}: none of {left}"
    assert not lines, f"instant {instant}: {lines}"
    value = ref.record()["value"]
    assert ref.step == (4 if value == 40 else value)
    for part, named in state(value).items():
        assert all(torch.equal(t, named[n]) for n, t in read_tensors(ref, part).items())
    save(folder, 5, 5)
    names = sorted(path.name for path in folder.iterdir())
    assert names[-1] == "step-5"
    assert len(names) == 2, f"instant {instant}: {names}"
    shutil.rmtree(folder)
    return status == 0


def main(root: Path) -> None:
    torch.set_num_threads(1)
    # A killed process, unlike a machine without power, loses nothing that was written.
    os.fsync = lambda descriptor: None
    base = root / "base"
    for step in (1, 2):
        save(base, step, step)
    instant = 1
    while not survives(instant, base, root / "checkpoints"):
        instant += 1
    print(instant - 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
