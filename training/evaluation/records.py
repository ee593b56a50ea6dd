"""Records of benchmark files, and what is wrong with them, in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schemas.errors import InputError
from training.chat.reading import read_rows


def read_records(path: Path, limit: int | None = None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Objects of a JSONL file, each with its name for messages, `FILE: record N`.

    Raises InputError for a file that cannot be read, holds something else, or nothing.
    """
    place = None
    for number, values in read_rows(path):
        place = f"{path}: record {number}"
        yield place, values
        if number == limit:
            return
    if place is None:
        raise InputError(f"{path}: holds no record")


def text_field(place: str, values: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that is there. Raises InputError where it is no text."""
    for name in names:
        if name in values:
            value = values[name]
            if not isinstance(value, str) or not value.strip():
                raise InputError(f"{place}: {name}: {_shown(value)} is no text")
            return value
    raise InputError(f"{place}: {names[0]}: is missing; it has: {', '.join(values) or 'nothing'}")


def texts_field(place: str, values: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    """The first of these fields that is there. Raises InputError where it is no list of two texts
    or more."""
    for name in names:
        if name in values:
            value = values[name]
            if not isinstance(value, list) or len(value) < 2:
                raise InputError(f"{place}: {name}: {_shown(value)} is no list of two or more")
            for number, one in enumerate(value):
                if not isinstance(one, str) or not one.strip():
                    raise InputError(f"{place}: {name}[{number}]: {_shown(one)} is no text")
            return tuple(value)
    raise InputError(f"{place}: {names[0]}: is missing; it has: {', '.join(values) or 'nothing'}")


def choice_field(
    place: str, values: Mapping[str, Any], choices: tuple[str, ...], *names: str
) -> int:
    """Which choice is right: its number from 0, its letter, or the choice itself.

    Raises InputError for anything else.
    """
    for name in names:
        if name not in values:
            continue
        value = values[name]
        if isinstance(value, str) and value in choices:
            return choices.index(value)
        letter = isinstance(value, str) and len(value) == 1 and "A" <= value <= "Z"
        number = ord(value) - ord("A") if letter else value
        if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(choices):
            return number
        raise InputError(
            f"{place}: {name}: {_shown(value)} is none of the {len(choices)} choices: give the "
            "number from 0, the letter, or the choice"
        )
    raise InputError(f"{place}: {names[0]}: is missing; it has: {', '.join(values) or 'nothing'}")


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
