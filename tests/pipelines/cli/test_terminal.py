"""What others wrote can neither steer a terminal nor hide."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cli.terminal import to_json, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", r"\u001b]0;owned\u0007"),
        ("\x1b[2J", r"\u001b[2J"),
        ("\x9b2J", r"\u009b2J"),
        ("a\rb\x7f", r"a\u000db\u007f"),
        ("safe\u202egnp.exe\u2066", r"safe\u202egnp.exe\u2066"),
        ("\ud800", r"\ud800"),
        ("文字 é \U0001f600 \u200d", "文字 é \U0001f600 \u200d"),
    ],
)
def test_controls_are_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_tabs_and_newlines_stay_only_where_wanted() -> None:
    assert visible("a\tb\nc") == "a\tb\nc"
    assert visible("a\tb\nc", one_line=True) == r"a\u0009b\u000ac"


@given(st.text(st.characters()))
def test_no_control_is_left(text: str) -> None:
    shown = visible(text, one_line=True)
    shown.encode()  # no surrogate is left
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in shown)
    assert visible(shown, one_line=True) == shown


@given(st.dictionaries(st.text(st.characters()), st.text(st.characters())))
def test_json_reads_back_as_it_was(value: dict[str, str]) -> None:
    text = to_json(value, indent=2)
    assert json.loads(text) == value
    assert "\x9b" not in text
