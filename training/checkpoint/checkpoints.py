"""The checkpoints of a run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

from model.adapters.record import ADAPTER, AdapterRecord
from model.config import ModelConfig
from schemas.errors import InputError, OutputError
from training.checkpoint import folder as files
from training.checkpoint import tensors
from training.checkpoint.folder import CheckpointRef, Depth
from training.checkpoint.together import Together


class Checkpoints:
    """Saves and finds `FOLDER/step-N/`. All ranks call every method, at the same time.

    A checkpoint is written beside its place and renamed when every byte is on the disk: a process
    killed at any instant leaves complete checkpoints and folders that are ignored, and removed by
    the next save. The folder must be on a file system that all ranks share.
    """

    def __init__(
        self,
        folder: Path,
        keep: int = 2,
        notice: Callable[[str], None] = lambda line: None,
        verify: Depth = "checksums",
    ) -> None:
        """`keep`: newest checkpoints not to delete; `notice` gets one line about each thing that
        went wrong without stopping the run, on rank 0; `verify` how closely `latest` looks:
        `sizes` for checkpoints that take too long to read."""
        self.folder = folder
        self.keep = keep
        self._notice = notice
        self._verify = verify
        self._together = Together()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        pinned = torch.cuda.is_available()
        self._stager = DefaultStager(StagingOptions(pinned, False, False, False))

    def save(
        self,
        step: int,
        state: tensors.State,
        record: Mapping[str, Any],
        shape: ModelConfig,
        asynchronous: bool = False,
        adapters: AdapterRecord | None = None,
    ) -> None:
        """Save the run after `step` steps.

        `state` is {part: {name: tensor}} with the parts model (`training.optim.model_state`),
        optimizer and ema (their `state()`); `record` is JSON that does not depend on the number of
        ranks. With `asynchronous` it returns once the tensors are copied to host memory, and a
        thread does the rest; an earlier save is waited for, and if it failed that is noticed.
        `adapters` tells what they belong to, where the state holds adapters alone.

        Raises OutputError when the checkpoint cannot be written: those before are unharmed.
        """
        try:
            self.wait()
        except OutputError as error:
            self._tell(str(error))
        flat = tensors.flattened(state)
        jsons = {
            files.RECORD: {"step": step, **record},
            files.MODEL: shape.model_dump(mode="json"),
        }
        if adapters is not None:
            jsons[ADAPTER] = adapters.model_dump(mode="json")
        if asynchronous:
            copied = cast(dict[str, Tensor], self._stager.stage(flat))
            self._pending = self._writer.submit(self._write, step, copied, jsons)
        else:
            self._write(step, flat, jsons)

    def wait(self) -> None:
        """Until the last save is complete. Raises OutputError when it failed."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def latest(self) -> CheckpointRef | None:
        """The newest checkpoint whose files are what was written, None without one.

        Damaged ones are noticed in one line each.
        """
        self._settle()
        return self._together.on_first(self._latest)

    def at(self, step: int) -> CheckpointRef:
        """The checkpoint of a step. Raises InputError when it is not there, or damaged."""
        self._settle()
        return self._together.on_first(lambda: self._at(step))

    def load(self, ref: CheckpointRef, state: tensors.State) -> None:
        """Fill the tensors of `state` in place, whatever number of ranks saved them.

        Parts that are not asked for are not read. Raises InputError that names a tensor which is
        missing, has another shape, or has no place in `state`.
        """
        self._settle()
        tensors.read(ref, state, self._together)

    def _settle(self) -> None:
        """Let a save that is under way end: its thread talks over the same group of ranks."""
        if self._pending is not None:
            wait([self._pending])

    def _write(self, step: int, flat: dict[str, Tensor], jsons: Mapping[str, Any]) -> None:
        together, partial = self._together, files.partial_folder(self.folder, step)
        try:
            together.on_first(lambda: files.prepare(self.folder, step))
            tensors.write(partial, flat, together)
            written = together.on_each(
                lambda: files.checksums(tensors.files_of(partial, together.rank))
            )
            sums = {name: entry for of_rank in written for name, entry in of_rank.items()}
            together.on_first(lambda: self._finish(partial, step, jsons, sums))
        except OSError as error:
            if together.rank == 0:
                shutil.rmtree(partial, ignore_errors=True)
            raise OutputError(
                f"{self.folder}: the checkpoint of step {step} cannot be written: "
                f"{error.strerror or error}; those before are unharmed"
            ) from error
        together.on_first(lambda: self._prune(step))

    def _finish(
        self, partial: Path, step: int, jsons: Mapping[str, Any], sums: Mapping[str, Any]
    ) -> None:
        for name in sums:
            if not (partial / name).exists():
                raise OSError(f"{name} of another rank is not here: ranks must share the folder")
        files.complete(partial, jsons, sums)
        files.publish(partial, step)

    def _prune(self, step: int) -> None:
        try:
            files.prune(self.folder, step, self.keep)
        except OSError as error:
            self._tell(f"{self.folder}: an old checkpoint cannot be deleted: {error}")

    def _latest(self) -> CheckpointRef | None:
        found = files.candidates(self.folder)
        for ref in found:
            problem = files.problem_of(ref, self._verify)
            if problem is None:
                return ref
            self._tell(f"{ref.folder}: damaged, the checkpoint before it is used: {problem}")
        if found:
            self._tell(f"{self.folder}: no checkpoint is intact, the run starts from the beginning")
        return None

    def _at(self, step: int) -> CheckpointRef:
        found = files.candidates(self.folder)
        for ref in found:
            if ref.step == step:
                problem = files.problem_of(ref, self._verify)
                if problem is not None:
                    raise InputError(f"{ref.folder}: damaged: {problem}")
                return ref
        steps = ", ".join(str(ref.step) for ref in reversed(found)) or "none"
        raise InputError(f"{self.folder}: no checkpoint of step {step}; there are: {steps}")

    def _tell(self, line: str) -> None:
        if self._together.rank == 0:
            self._notice(line)
