"""Conversations as tokens, in files of the run's folder that all ranks map."""

from __future__ import annotations

import json
import os
import shutil
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.chat import Conversation
from schemas.errors import InputError, OutputError
from training.chat import ChatFormatter, read_conversations
from training.sft.learned import Encoded, Refusal, Rules, encode

TOKENS, TARGETS, STARTS, INDEX = "tokens.bin", "targets.bin", "starts.npy", "index.json"
RECORDS = "records.npy"
DROPPED = "dropped.jsonl"

IntArray = npt.NDArray[np.int64]


def write_encoded(
    files: Sequence[str],
    format_: str,
    folder: Path,
    formatter: ChatFormatter,
    rules: Rules,
    key: str,
) -> Counter[str]:
    """Encode the conversations of `files` into `folder`, unless it holds them already: those of
    the same `key`, which has to tell files, template, tokenizer and rules.

    Returns the counts: read, kept, trimmed, and dropped by reason. What is dropped stands in
    dropped.jsonl with its file and record. Raises InputError for a bad record, and for what
    `rules` do not let drop; OutputError.
    """
    done = _index(folder)
    if done is not None and done.get("key") == key:
        return Counter(done["counts"])
    counts: Counter[str] = Counter(read=0, kept=0)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    starts, records, highest = array("q", [0]), array("q"), 0
    numbers = {path: number for number, path in enumerate(files)}
    with ExitStack() as stack:
        try:
            part.mkdir(parents=True)
            tokens, targets = (
                stack.enter_context((part / n).open("wb")) for n in (TOKENS, TARGETS)
            )
            dropped = stack.enter_context((part / DROPPED).open("w", encoding="utf-8"))
            for path, record, conversation in _conversations(files, format_):
                counts["read"] += 1
                found = _encoded(path, record, conversation, formatter, rules)
                if isinstance(found, Refusal):
                    _refuse(found, f"{path}: record {record}: {found.detail}", rules)
                    counts[found.reason] += 1
                    row = {"file": path, "record": record, **found._asdict()}
                    dropped.write(json.dumps(row, ensure_ascii=False) + "\n")
                    continue
                counts["kept"] += 1
                counts["trimmed"] += found.trimmed > 0
                tokens.write(np.asarray(found.tokens, dtype=np.uint32).tobytes())
                targets.write(np.asarray(found.mask, dtype=np.bool_).tobytes())
                starts.append(starts[-1] + len(found.tokens))
                records.extend((numbers[path], record))
                highest = max(highest, *found.tokens)
            np.save(part / STARTS, np.frombuffer(starts, dtype=np.int64))
            np.save(part / RECORDS, np.frombuffer(records, dtype=np.int64).reshape(-1, 2))
            index = {
                "key": key,
                "counts": counts,
                "highest": highest,
                "files": [*map(os.path.abspath, files)],
            }
            (part / INDEX).write_text(json.dumps(index), "utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            stack.close()
            part.rename(folder)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written: {error.strerror}") from error
    return counts


def _encoded(
    path: str, record: int, conversation: Conversation, formatter: ChatFormatter, rules: Rules
) -> Encoded | Refusal:
    try:
        return encode(conversation, formatter, rules)
    except InputError as error:
        raise InputError(f"{path}: record {record}: {error}") from error


def _refuse(found: Refusal, line: str, rules: Rules) -> None:
    """Raises InputError where the configuration does not let such a conversation be dropped."""
    asked = {"too_long": rules.too_long, "empty_answer": rules.empty_answers}
    key = {"too_long": "data.too_long: drop", "empty_answer": "data.empty_answers: drop"}
    if asked.get(found.reason) == "error":
        raise InputError(f"{line}; mend the record, or set {key[found.reason]}")


def _conversations(files: Sequence[str], format_: str) -> Iterator[tuple[str, int, Conversation]]:
    for path in files:
        for record, conversation in read_conversations(path, format_):
            yield path, record, conversation


def _index(folder: Path) -> dict[str, Any] | None:
    try:
        tree = json.loads((folder / INDEX).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return tree if isinstance(tree, dict) else None


class EncodedConversations:
    """What `write_encoded` wrote, mapped. Conversations count from 0."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError for files that are damaged."""
        self.path = folder
        try:
            self.starts: IntArray = np.load(folder / STARTS)
            self._tokens = _mapped(folder / TOKENS, np.uint32)
            self._targets = _mapped(folder / TARGETS, np.bool_)
        except (OSError, EOFError, ValueError) as error:
            raise InputError(f"{folder}: cannot be read: {error}; delete it") from error
        if not len(self._tokens) == len(self._targets) == self.starts[-1]:
            raise InputError(f"{folder}: {TOKENS} is cut off; delete the folder to make it anew")
        self.lengths: IntArray = np.diff(self.starts)
        """Tokens of each conversation."""

    def __len__(self) -> int:
        return len(self.lengths)

    def highest(self) -> int:
        """The largest token."""
        return int((_index(self.path) or {}).get("highest", 0))

    @property
    def key(self) -> str:
        """What `write_encoded` was told."""
        return str((_index(self.path) or {}).get("key", ""))

    def origin(self, conversation: int) -> tuple[str, int]:
        """The file and the record in it, from 1, that a conversation comes from.
        Raises InputError for files that are damaged."""
        files = (_index(self.path) or {}).get("files") or []
        try:
            number, record = np.load(self.path / RECORDS, mmap_mode="r")[conversation].tolist()
            return str(files[number]), record
        except (OSError, EOFError, ValueError, IndexError) as error:
            raise InputError(f"{self.path / RECORDS}: cannot be read: {error}") from error

    def gather(
        self, conversations: IntArray
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_]]:
        """Tokens and targets of conversations, one after another."""
        spans = [slice(self.starts[n], self.starts[n + 1]) for n in conversations.tolist()]
        tokens = np.concatenate([self._tokens[span] for span in spans])
        return tokens, np.concatenate([self._targets[span] for span in spans])


def _mapped(path: Path, dtype: type[np.generic]) -> npt.NDArray[Any]:
    if not path.stat().st_size:
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r")
