"""Marks in texts on their way through a template: where answers lie, and which names of tokens
were written by people and not by the template."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from schemas.chat import Message
from schemas.errors import InputError
from training.tokenizers.contract import Marker

_NONCHARACTERS = tuple(chr(code) for code in range(0xFDD0, 0xFDF0))
"""Code points that Unicode (section 23.7) leaves to programs for their own use."""


class Marks(NamedTuple):
    """Three characters that a conversation does not hold."""

    spelled: str
    """Inside a token's name in somebody's text."""
    begin: str
    end: str
    """Around answers."""

    @classmethod
    def for_text(cls, text: str) -> Marks:
        """Marks that are not in `text`. Raises InputError where it leaves none."""
        free = [character for character in _NONCHARACTERS if character not in text]
        if len(free) < 3:
            raise InputError("its texts hold all of U+FDD0 to U+FDEF, of which three must be free")
        return cls(*free[:3])


class Names:
    """Names of tokens to tell apart in rendered texts."""

    def __init__(self, markers: Mapping[str, Marker], framing: frozenset[str] | None) -> None:
        """`framing`: names that are spelled in answers, too; None: all. The others (<tool_call>)
        are for the assistant alone to write."""
        self.markers = markers
        control = {name for name, marker in markers.items() if marker.control}
        of_answers = set(markers) if framing is None else control | (framing & set(markers))
        self._anywhere = _Spelling(markers)
        self._in_answers = _Spelling(of_answers)
        self._whole = _alternatives(markers)
        self._findable = tuple(name for name in markers if not markers[name].control)

    def spell(self, text: str, mark: str, *, answer: bool = False) -> str:
        """The text with `mark` in each name, and after the beginning of one at its end: what
        follows in the rendered text may be the rest."""
        return (self._in_answers if answer else self._anywhere).spell(text, mark)

    def split(self, text: str, mark: str) -> list[int | str]:
        """A rendered text as ids, where the template wrote a name, and texts. A text is cut where
        somebody wrote the name of a token that is not for control, since it would be found."""
        parts: list[int | str] = []
        at = 0
        for start, end, marker in self._found(text, mark):
            parts += self._spelled(text[at:start], mark)
            parts.append(marker.id)
            at = end
        return [*parts, *self._spelled(text[at:], mark)]

    def last_end(self, text: str, mark: str) -> int | None:
        """Where the last name that the template wrote ends in a rendered text."""
        found = self._found(text, mark)
        return found[-1][1] if found else None

    def _found(self, text: str, mark: str) -> list[tuple[int, int, Marker]]:
        if self._whole is None:
            return []
        found: list[tuple[int, int, Marker]] = []
        for match in self._whole.finditer(text):
            start, end = match.span()
            if text[end : end + 1] == mark and end - start == 1:
                continue
            marker = self.markers[match[0]]
            if marker.strips_left:
                start = len(text[:start].rstrip())
            if marker.strips_right:
                end += len(text[end:]) - len(text[end:].lstrip())
            if found and start < found[-1][1]:
                start = found[-1][1]
            found.append((start, max(start, end), marker))
        return found

    def _spelled(self, marked: str, mark: str) -> list[str]:
        before, *rest = marked.split(mark)
        places, length = [], len(before)
        for piece in rest:
            places.append(length)
            length += len(piece)
        text = marked.replace(mark, "")
        edges = [0, *(place for place in places if self._is_inside(text, place)), len(text)]
        return [text[a:b] for a, b in pairwise(edges) if a < b]

    def _is_inside(self, text: str, place: int) -> bool:
        """Whether a name that would be found in a text begins before a place and ends after it."""
        return any(
            name in text[max(0, place - len(name) + 1) : place + len(name) - 1]
            for name in self._findable
        )


class _Spelling:
    """How some names are broken."""

    def __init__(self, names: Iterable[str]) -> None:
        names = list(names)
        whole = _alternatives(names)
        self._starts = None if whole is None else re.compile(f"(?={whole.pattern})")
        self._beginnings = {name[:end] for name in names for end in range(1, len(name))}
        self._longest = max(map(len, self._beginnings), default=0)

    def spell(self, text: str, mark: str) -> str:
        if self._starts is None:
            return text
        starts = [match.start() for match in self._starts.finditer(text)]
        edges = [0, *(start + 1 for start in starts), len(text)]
        spelled = mark.join(text[a:b] for a, b in pairwise(edges))
        tails = (text[-length:] for length in range(1, min(self._longest, len(text)) + 1))
        return spelled + mark if any(tail in self._beginnings for tail in tails) else spelled


def texts_of(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> str:
    """All that a template may write of a conversation, to look for characters in."""
    told = "".join(f"{m.content}{m.name}{m.tool_call_id}" for m in messages)
    held = (*tools, *(call.model_dump() for m in messages for call in m.tool_calls))
    return told + json.dumps(held, ensure_ascii=False)


def for_template(
    messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], names: Names, mark: str
) -> tuple[list[dict[str, Any]], list[Any] | None]:
    """Messages and tools as templates read them (the form of OpenAI's API, arguments as objects),
    with names of tokens spelled. A field that is empty is left out, as in transformers."""
    return (
        [_message(message, names, mark) for message in messages],
        _marked(list(tools), names, mark) if tools else None,
    )


def _message(message: Message, names: Names, mark: str) -> dict[str, Any]:
    answer = message.role == "assistant"
    found: dict[str, Any] = {
        "role": message.role,
        "content": names.spell(message.content, mark, answer=answer),
    }
    calls = [
        {
            **({} if call.id is None else {"id": names.spell(call.id, mark)}),
            "type": "function",
            "function": {
                "name": names.spell(call.name, mark),
                "arguments": _marked(call.arguments, names, mark),
            },
        }
        for call in message.tool_calls
    ]
    if calls:
        found["tool_calls"] = calls
    for key, value in (("tool_call_id", message.tool_call_id), ("name", message.name)):
        if value is not None:
            found[key] = names.spell(value, mark)
    return found


def _marked(value: Any, names: Names, mark: str) -> Any:
    if isinstance(value, str):
        return names.spell(value, mark)
    if isinstance(value, Mapping):
        return {
            names.spell(str(key), mark): _marked(item, names, mark) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_marked(item, names, mark) for item in value]
    return value


def _alternatives(names: Iterable[str]) -> re.Pattern[str] | None:
    """The longest name that begins at a place, as the library `tokenizers` takes it."""
    ordered = sorted(names, key=lambda name: (-len(name), name))
    if not ordered:
        return None
    # Vocabularies have up to a thousand: most places are dismissed by their first character.
    first = "".join(re.escape(character) for character in sorted({name[0] for name in ordered}))
    return re.compile(f"(?=[{first}])(?:{'|'.join(map(re.escape, ordered))})")
