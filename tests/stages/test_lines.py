from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.lines import EDITS, C4Lines, c4_lines

FINEWEB = C4Lines(terminal_punctuation=False, min_words_per_line=3, count_citations=True)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("This line has five words.", True),
        ("This one has four.", False),
        ("This line has no end mark", False),
        ("This line trails off here...", False),
        ('He ended it with "quotes"', True),
        ("He ended it with apostrophe'", False),
        ("Please enable JavaScript to see it.", False),
        ("We ask you to read our Privacy Policy.", False),
        ("A word of length " + "x" * 1001 + ".", False),
        ("A word of length " + "x" * 999 + ".", True),
    ],
)
def test_lines_that_c4_keeps(line: str, kept: bool) -> None:
    assert c4_lines(line, C4Lines()) == (line if kept else "")


def test_lines_are_stripped_and_joined() -> None:
    text = "  One two three four five.  \n\n\tSix seven eight nine ten!\r\nno"
    assert c4_lines(text, C4Lines()) == "One two three four five.\nSix seven eight nine ten!"


def test_citations_go_and_count_as_the_options_say() -> None:
    line = "Berlin is [1] large[edit] [citation needed] [] city [12]"
    assert c4_lines(line, FINEWEB) == "Berlin is  large   city"
    assert c4_lines("two words [1]", FINEWEB) == "two words"
    assert c4_lines("two words [1]", FINEWEB.model_copy(update={"count_citations": False})) == ""


def test_page_marks_survive_for_the_page_rules() -> None:
    text = "Our cookie policy is {here} for you.\nLorem ipsum with javascript is filler text."
    assert c4_lines(text, FINEWEB) == text
    assert c4_lines(text, FINEWEB.model_copy(update={"keep_page_marks": False})) == ""
    # A line with javascript goes before its bracket is seen, as in the reference.
    assert c4_lines("function of javascript { here", FINEWEB) == ""


@given(st.text(st.sampled_from("ab .\n[1]!\t")))
def test_cleaning_only_removes(text: str) -> None:
    cleaned = c4_lines(text, FINEWEB.model_copy(update={"remove_citations": False}))
    lines = [line.strip() for line in text.splitlines()]
    assert all(line in lines for line in cleaned.splitlines())


def test_every_edit_has_usable_defaults() -> None:
    for kind in EDITS.values():
        assert kind.apply("", kind.options()) == ""
