"""Text that others wrote, made safe to show on a terminal."""

from __future__ import annotations

import json
import re
from typing import Any

_CONTROLS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # Unicode Bidi_Control
    "\u2028\u2029"  # line and paragraph separator
    "\ud800-\udfff"  # lone surrogates, which no stream can encode
)
_HIDDEN = re.compile(f"[{_CONTROLS}]")
_HIDDEN_OR_BREAK = re.compile(f"[{_CONTROLS}\t\n]")


def visible(text: str, *, one_line: bool = False) -> str:
    r"""The text with control characters written out, such as \u001b.

    A terminal acts on C0 and C1 controls (it can be told to change its title, clear the screen or
    answer into the keyboard buffer) and reorders text at bidirectional ones: crawled text must do
    neither. Tabs and newlines stay unless `one_line`.
    """
    return (_HIDDEN_OR_BREAK if one_line else _HIDDEN).sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON with readable text: the same escapes, which JSON reads back as what they stand for."""
    return visible(json.dumps(value, indent=indent, ensure_ascii=False, default=str))
