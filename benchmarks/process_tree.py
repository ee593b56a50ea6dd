"""Wall clock and CPU time of a command and of everything it starts, orphans included. Linux."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h"""
LINGERING_SECONDS = 20.0
"""How long processes that outlive their parent may take to end."""


class Took(NamedTuple):
    """Wall clock and CPU of a process and all its descendants."""

    seconds: float
    cpu_seconds: float

    def __add__(self, other: object) -> Took:
        if not isinstance(other, Took):
            return NotImplemented
        return Took(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)


def become_subreaper() -> None:
    """Children of ended children become ours, so that their CPU time is told to us: datatrove's
    fork server outlives the process that started it."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def measure(command: list[str], env: dict[str, str], folder: Path, log: Path) -> Took:
    """Run a command in `folder` to its end and its descendants' end; needs become_subreaper().

    The calling process must have no other children. Exits with the end of `log` on failure.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    cpu_seconds, status = 0.0, None
    started = time.monotonic()
    with log.open("wb") as out:
        child = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | env, cwd=folder
        )
    seconds = 0.0
    while True:
        try:
            ended, code, usage = os.wait4(-1, 0 if status is None else os.WNOHANG)
        except ChildProcessError:
            break
        if ended:
            cpu_seconds += usage.ru_utime + usage.ru_stime
        if ended == child.pid:
            seconds, status = time.monotonic() - started, os.waitstatus_to_exitcode(code)
            child.returncode = status
        elif not ended:
            if time.monotonic() - started > seconds + LINGERING_SECONDS:
                sys.exit(f"processes of {command[1:4]} do not end: their CPU time is unknown")
            time.sleep(0.02)
    if status:
        sys.exit(f"{' '.join(command)}\nended with {status}; {log} ends:\n{tail(log)}")
    return Took(seconds, cpu_seconds)


def tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-12:])
