"""The folder of a training run: whose it is, what lies where, and that one run works in it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml

from schemas.errors import OutputError, UsageError
from schemas.yaml_text import parse_mapping
from training.config import TrainingConfig
from training.folder_lock import locked_folder

CONFIG_NAME = "config.yaml"
LOCK_NAME = ".lock"

FIXED = (
    *("stage", "seed", "model", "data", "tokenizer", "init", "lora", "prompt_tuning"),
    *("train.batch_size", "optimizer.name", "optimizer.ema"),
)
"""What a run cannot change when it goes on: its batches, weights and state would be another's."""

FREE_DATA = ("prefetch", "verify", "manifest", "text", "files")
"""Keys of `data`, and of the sources of a mixture, that may change: where the files lie is nothing,
what is in them is in the checkpoint's fingerprint."""


class RunFolder:
    """Paths of one run."""

    def __init__(self, output: str | Path) -> None:
        self.path = Path(output)
        self.config = self.path / CONFIG_NAME
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self.tensorboard = self.path / "tensorboard"
        self.tokenizer = self.path / "tokenizer"
        self.samples = self.path / "samples.jsonl"
        self.record = self.path / "run.json"

    def check(self, config: TrainingConfig, stage: str) -> list[str]:
        """What `claim` would say, without a change to anything. Raises UsageError as it does."""
        if self.config.exists():
            return self._compare(self.stored(), {"stage": stage, **resolved(config)})
        self._refuse_foreign()
        return []

    def claim(self, config: TrainingConfig, stage: str) -> list[str]:
        """Make the folder this run's: write config.yaml, after comparing with one that is there.

        Returns a notice for each key that changed and may. Raises UsageError for a folder of
        another run or of something else, OutputError where nothing can be written.
        """
        notices = self.check(config, stage)
        tree = {"stage": stage, **resolved(config)}
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            write_whole(self.config, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror}") from error
        return notices

    def stored(self) -> dict[str, Any]:
        """The resolved configuration of the run. Raises UsageError when it cannot be read."""
        try:
            text = self.config.read_text("utf-8")
        except OSError as error:
            raise UsageError(
                f"{self.path}: no training run: {CONFIG_NAME} cannot be read: {error.strerror}"
            ) from error
        return parse_mapping(text, str(self.config))

    def _compare(self, before: dict[str, Any], now: dict[str, Any]) -> list[str]:
        for key in FIXED:
            old, new = _comparable(before, key), _comparable(now, key)
            for name, was, wanted in _differences(key, old, new):
                raise UsageError(
                    f"{self.path}: holds a run with {name}: {was!r}, not {wanted!r}; choose "
                    "another output, or set it back to go on"
                )
        return [
            f"{name}: {old!r}, now {new!r}"
            for name, old, new in _differences("", before, now)
            if name != "output"
        ]

    def _refuse_foreign(self) -> None:
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise UsageError(f"{self.path}: is not a folder")
        ours = {"data", LOCK_NAME}
        foreign = sorted(entry.name for entry in self.path.iterdir() if entry.name not in ours)
        if foreign:
            raise UsageError(
                f"{self.path}: holds {foreign[0]}, which no training run left; choose a folder "
                "that is new or empty"
            )

    def locked(self) -> AbstractContextManager[None]:
        """Work in the folder alone. Raises OutputError when another process on this host does."""
        return locked_folder(self.path, LOCK_NAME, "trains")


def resolved(config: TrainingConfig) -> dict[str, Any]:
    """The whole tree with its defaults, as plain values; local paths of the data are absolute, so
    that the folder can be read from anywhere."""
    tree = config.model_dump(mode="json")
    data = tree.get("data") or {}
    for section in (data, *(data.get("mixture") or {}).values()):
        if section.get("manifest") is not None:
            section["manifest"] = os.path.abspath(section["manifest"])
    tasks = data["train"].values() if isinstance(data.get("train"), dict) else ()
    held_out = data["eval"] if isinstance(data.get("eval"), dict) else {}
    for section, key in ((data, "text"), *((files, "files") for files in (held_out, *tasks))):
        if isinstance(section.get(key), list):
            section[key] = [os.path.abspath(path) for path in section[key]]
    return tree


def write_whole(path: Path, text: str) -> None:
    """Write a file so that readers see the old or the new one. Raises OSError."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)


def _comparable(tree: dict[str, Any], key: str) -> Any:
    value: Any = tree
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if key == "data" and isinstance(value, dict):
        return _without(value, FREE_DATA)
    return value


def _without(tree: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    kept = {name: value for name, value in tree.items() if name not in names}
    return {
        name: _without(value, names) if isinstance(value, dict) else value
        for name, value in kept.items()
    }


def _differences(key: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """Dotted key, old and new value of everything that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in {**old, **new}:
            below = f"{key}.{name}" if key else name
            yield from _differences(below, old.get(name), new.get(name))
    elif old != new:
        yield key, old, new
