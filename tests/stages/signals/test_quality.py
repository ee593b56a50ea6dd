from __future__ import annotations

import pytest
from datatrove.utils.text import PUNCTUATION, TERMINAL_PUNCTUATION

from stages.signals import basic, c4, c4_badwords, fineweb, gopher_quality, gopher_quality_paper
from stages.signals.marks import SYMBOLS, TERMINAL
from stages.words import TextView


def test_character_sets_are_datatroves() -> None:
    assert TERMINAL == TERMINAL_PUNCTUATION
    assert TERMINAL_PUNCTUATION | set(PUNCTUATION) == SYMBOLS


def test_gopher_quality_by_hand() -> None:
    # Words: The quick # fox , and 7 cats ...  (9, of which 3 symbols: # , ...)
    signals = gopher_quality.measure(TextView("The quick #fox, and 7 cats..."))
    assert signals["n_words"] == 6
    # The(3) quick(5) fox(3) and(3) 7(1) cats(4)
    assert signals["mean_word_length"] == pytest.approx(19 / 6)
    assert signals["hash_ratio"] == pytest.approx(1 / 9)
    assert signals["ellipsis_ratio"] == pytest.approx(1 / 9)
    # With a letter: The quick fox and cats.
    assert signals["alpha_word_frac"] == pytest.approx(5 / 9)
    assert signals["alpha_word_frac_no_symbols"] == pytest.approx(5 / 6)
    # "and"; "The" is not in lower case.
    assert signals["n_stop_words"] == 1
    assert signals["ellipsis_line_frac"] == 1.0
    assert signals["bullet_line_frac"] == 0.0


def test_gopher_quality_of_the_paper_by_hand() -> None:
    # Between spaces: The quick #fox, and 7 cats...
    signals = gopher_quality_paper.measure(TextView("The quick #fox, and 7 cats..."))
    assert signals["n_words"] == 6
    # 3 + 5 + 5 + 3 + 1 + 7
    assert signals["mean_word_length"] == pytest.approx(24 / 6)
    assert signals["symbol_ratio"] == pytest.approx(2 / 6)
    assert signals["hash_ratio"] == pytest.approx(1 / 6)
    assert signals["alpha_word_frac"] == pytest.approx(5 / 6)
    assert signals["n_stop_words"] == 2
    assert signals["n_stop_word_occurrences"] == 2


def test_bullets_and_ellipses_by_line() -> None:
    text = "• one\n  - two\n* three\n● four…\n\nfive . . ."
    signals = gopher_quality.measure(TextView(text))
    # Six lines with the empty one; two bullets and one ellipsis in datatrove's sense.
    assert signals["bullet_line_frac"] == pytest.approx(2 / 6)
    assert signals["ellipsis_line_frac"] == pytest.approx(1 / 6)
    paper = gopher_quality_paper.measure(TextView(text))
    # Five lines; • * ● start one each ("- two" is indented), two ellipses.
    assert paper["bullet_line_frac"] == pytest.approx(3 / 5)
    assert paper["ellipsis_line_frac"] == pytest.approx(2 / 5)


def test_fineweb_by_hand() -> None:
    long_line = "x" * 31
    text = f"Short one.\nShort one.\n{long_line}\n\nEnd。"
    signals = fineweb.measure(TextView(text))
    # Four lines that are not empty, three end in a sentence mark, three have <= 30 characters.
    assert signals["line_punct_ratio"] == pytest.approx(3 / 4)
    assert signals["short_line_ratio"] == pytest.approx(3 / 4)
    # 10 repeated characters of 10 + 10 + 31 + 4.
    assert signals["char_dup_ratio"] == pytest.approx(10 / 55)
    # Four newlines; words Short one . Short one . x... End 。
    assert signals["list_ratio"] == pytest.approx(4 / 9)


def test_thirty_characters_are_short_and_thirty_one_are_not() -> None:
    assert fineweb.measure(TextView("x" * 30))["short_line_ratio"] == 1.0
    assert fineweb.measure(TextView("x" * 31))["short_line_ratio"] == 0.0


def test_c4_by_hand() -> None:
    signals = c4.measure(TextView("One here. Two here.\nLOREM Ipsum {\n" + "y" * 200))
    assert signals == {
        "n_sentences": 4.0,
        "lorem_ipsum": 1.0,
        "curly_bracket": 1.0,
        "n_long_lines": 1.0,
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A grape and a Scunthorpe pumpkin.", 0),
        ("An ass, in a farmyard. ASS!", 1),
        ("massive class", 0),
        ("s&m", 1),
    ],
)
def test_bad_words_stand_alone(text: str, found: int) -> None:
    assert c4_badwords.measure(TextView(text))["n_bad_words"] == found


def test_basic_by_hand() -> None:
    signals = basic.measure(TextView("Ab 1.\n\nAb cd"))
    assert signals["n_chars"] == 12
    assert signals["n_words"] == 5
    assert signals["n_lines"] == 2
    assert signals["n_paragraphs"] == 2
    assert signals["n_sentences"] == 2
    assert signals["mean_line_chars"] == 5
    # Letters A b A b c d, of which two are capitals.
    assert signals["alpha_char_frac"] == pytest.approx(6 / 12)
    assert signals["upper_char_frac"] == pytest.approx(2 / 6)
    assert signals["digit_char_frac"] == pytest.approx(1 / 12)
    assert signals["unique_word_frac"] == pytest.approx(4 / 5)
