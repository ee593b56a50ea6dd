"""What a generation run leaves: instructions.jsonl, rejected.jsonl, summary.json."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import xxhash

from schemas.errors import CorpusmillError, OutputError, UsageError
from training.folder_lock import locked_folder
from training.instruct.config import GenerateConfig

RECORDS, REJECTED, SUMMARY, CONFIG, CACHE = (
    *("instructions.jsonl", "rejected.jsonl", "summary.json", "config.json", "answers.jsonl"),
)
LOCK = ".lock"
SEEDS_SHA256 = "seeds_sha256"
_FREE = frozenset({"output", "count", "budget", "prices", "patience"})
_FREE_OF_MODEL = frozenset(
    {"concurrency", "timeout_seconds", "attempts", "requests_per_minute", "tokens_per_minute"}
)


class Output:
    """The folder of a run. A run that goes on writes the same lines again, out of its answers,
    and then new ones."""

    def __init__(self, config: GenerateConfig, seeds_sha256: str) -> None:
        """Make the folder this run's. Raises UsageError when it holds another run's data (of other
        seeds, too) or something else, OutputError when it cannot be written."""
        self.folder = Path(config.output)
        self.kept = 0
        self.rejections: Counter[str] = Counter()
        self._claim(config, {**_fixed(config), SEEDS_SHA256: seeds_sha256})

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Work in the folder alone, and forget the summary of the sitting before. Raises
        OutputError when another process on this host works there."""
        with locked_folder(self.folder, LOCK, "makes instructions"):
            try:
                (self.folder / SUMMARY).unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"{self.folder}: {error.strerror or error}") from error
            yield

    def __enter__(self) -> Self:
        self._records = _open(_part(self.folder / RECORDS))
        self._rejected = _open(_part(self.folder / REJECTED))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the files their names, unless something broke the run off: what it wrote may then
        be less than what was there."""
        try:
            self._records.close()
            self._rejected.close()
            expected = isinstance(error, CorpusmillError) and not isinstance(error, OutputError)
            if error is None or expected:
                for name in (RECORDS, REJECTED):
                    os.replace(_part(self.folder / name), self.folder / name)
        except OSError as failure:
            raise OutputError(f"{self.folder}: {failure.strerror or failure}") from failure

    def keep(self, prompt: str, answer: str, **origin: Any) -> str:
        """Write a conversation of one question and its answer; returns its id."""
        id = record_id(prompt, answer)
        messages = [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": answer},
        ]
        self._write(self._records, {"messages": messages, "id": id, **origin})
        self.kept += 1
        return id

    def reject(self, reason: str, **what: Any) -> None:
        """Write down what was turned down, and count it."""
        self._write(self._rejected, {"reason": reason, **what})
        self.rejections[reason] += 1

    def summarize(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write summary.json, whole or not at all; returns it."""
        content = {"kept": self.kept, "rejected": dict(self.rejections.most_common()), **facts}
        _replace(self.folder / SUMMARY, content)
        return content

    def _write(self, handle: Any, row: Mapping[str, Any]) -> None:
        try:
            handle.write(json.dumps(row, ensure_ascii=False) + "\n")
            handle.flush()
        except OSError as error:
            raise OutputError(f"{self.folder}: {error.strerror or error}") from error

    def _claim(self, config: GenerateConfig, wanted: Mapping[str, Any]) -> None:
        path = self.folder / CONFIG
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"{self.folder}: is not a folder; choose another output")
        if not path.exists():
            if self.folder.exists() and any(e != _part(path) for e in self.folder.iterdir()):
                raise UsageError(f"{self.folder}: is not empty and no run of instruct generate")
            _replace(path, wanted)
            return
        before, now = _leaves(_read(path)), _leaves(wanted)
        differ = [key for key in {**now, **before} if before.get(key) != now.get(key)]
        if differ == [SEEDS_SHA256]:
            raise UsageError(
                f"{self.folder}: holds a run of other seeds: "
                f"{getattr(config, config.method).seeds} has changed; choose another output, or "
                "put the old seeds back to go on"
            )
        if differ:
            raise UsageError(
                f"{self.folder}: holds a run with another {differ[0]}; choose another output, "
                "or set it back to go on"
            )


def record_id(prompt: str, answer: str) -> str:
    """32 hex digits over the content."""
    return xxhash.xxh3_128_hexdigest(f"{prompt}\0{answer}".encode("utf-8", "surrogatepass"))


def _fixed(config: GenerateConfig) -> dict[str, Any]:
    """What decides the records, as JSON has it."""
    tree = config.model_dump(mode="json", exclude=set(_FREE))
    tree["model"] = {k: v for k, v in tree["model"].items() if k not in _FREE_OF_MODEL}
    return tree


def _leaves(tree: Any, name: str = "") -> dict[str, Any]:
    """The values of a tree of objects under their dotted keys."""
    if not isinstance(tree, Mapping):
        return {name: tree}
    parts = (_leaves(value, f"{name}.{key}" if name else key) for key, value in tree.items())
    return {key: value for part in parts for key, value in part.items()}


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read ({error}); choose another output") from error


def _part(path: Path) -> Path:
    """Where a file grows before it gets its name."""
    return path.with_name(f".{path.name}.part")


def _open(path: Path) -> Any:
    try:
        return open(path, "w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from error


def _replace(path: Path, content: Mapping[str, Any]) -> None:
    part = _part(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
        os.replace(part, path)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from error
