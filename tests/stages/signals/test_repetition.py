from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.signals.gopher_repetition import DUP_LENGTHS, TOP_LENGTHS, measure
from stages.signals.gopher_repetition_paper import measure as measure_paper
from stages.signals.repeats import repeated_ngrams
from stages.words import TextView


def test_repeated_lines_as_datatrove_and_as_dclm_count_them() -> None:
    # Lines: aa aa b aa, 10 characters with 3 newlines. Repeats: 2 of 4 lines, 4 characters.
    text = "aa\naa\nb\naa"
    signals = measure(TextView(text))
    assert signals["dup_line_frac"] == 2 / 4
    assert signals["dup_line_char_frac"] == 4 / 10
    # DCLM counts all occurrences: 3 of 4 lines, 6 of 7 characters, newlines not counted.
    paper = measure_paper(TextView(text))
    assert paper["dup_line_frac"] == 3 / 4
    assert paper["dup_line_char_frac"] == 6 / 7


def test_repeated_paragraphs() -> None:
    # Paragraphs: "a b", "a b", "c": 1 repeat of 3, 3 of 12 characters.
    signals = measure(TextView("a b\n\na b\n\n\nc"))
    assert signals["dup_para_frac"] == 1 / 3
    assert signals["dup_para_char_frac"] == 3 / 12
    # Lines between runs of newlines: the same three.
    assert signals["dup_line_frac"] == 1 / 3


def test_top_ngram_is_the_first_of_the_most_frequent() -> None:
    # "one two" and "two one" both occur twice; the first counts: 2 x len("one two") of 15.
    signals = measure(TextView("one two one two"))
    assert signals["top_2gram_char_frac"] == pytest.approx(2 * 7 / 15)
    # No 3-gram twice: the first one counts once, len("one two one") = 11.
    assert signals["top_3gram_char_frac"] == pytest.approx(11 / 15)
    # The paper's reading: no spaces, 2 x 6 of 12 characters; what occurs once is no repetition.
    paper = measure_paper(TextView("one two one two"))
    assert paper["top_2gram_char_frac"] == pytest.approx(12 / 12)
    assert paper["top_3gram_char_frac"] == 0.0


def test_duplicate_ngrams_in_a_jumping_walk_and_in_full() -> None:
    # Words a b c d e a b c d e a: 5-grams start at 0..6, and those at 5 and 6 repeat 0 and 1.
    # The walk counts abcde at 5, jumps to 10 and is done: 5 characters of 21.
    text = "a b c d e a b c d e a"
    assert measure(TextView(text))["dup_5gram_char_frac"] == pytest.approx(5 / 21)
    # In full the 5-grams at 0, 1, 5 and 6 cover all 11 words.
    assert measure_paper(TextView(text))["dup_5gram_char_frac"] == pytest.approx(11 / 11)
    # 6-grams start at 0..5; abcdea at 0 and 5. The walk counts it once, 6 characters.
    assert measure(TextView(text))["dup_6gram_char_frac"] == pytest.approx(6 / 21)
    assert measure(TextView(text))["dup_7gram_char_frac"] == 0.0


def test_the_walk_forgets_ngrams_that_start_inside_a_counted_one() -> None:
    # Twelve times "x": the 5-gram at 0 is new, that at 1 counts, then 6 counts, then no room
    # is left at 11: 10 characters of 23.
    text = " ".join("x" * 12)
    assert measure(TextView(text))["dup_5gram_char_frac"] == pytest.approx(10 / 23)


@given(st.lists(st.sampled_from("abc"), max_size=40))
def test_repeats_are_found_as_by_brute_force(words: list[str]) -> None:
    for level in repeated_ngrams(words, 6):
        ngrams = [tuple(words[i : i + level.n]) for i in range(len(words) - level.n + 1)]
        counts = Counter(ngrams)
        assert level.positions == [i for i, ngram in enumerate(ngrams) if counts[ngram] > 1]
        same = dict(zip(level.positions, level.classes, strict=True))
        for i in level.positions:
            assert level.counts[same[i]] == counts[ngrams[i]]
            assert [j for j in same if same[j] == same[i]] == [
                j for j, ngram in enumerate(ngrams) if ngram == ngrams[i]
            ]


def _walk_by_hand(words: list[str], n: int) -> int:
    seen, characters, index = set(), 0, 0
    while index + n <= len(words):
        ngram = tuple(words[index : index + n])
        if ngram in seen:
            characters += sum(map(len, ngram))
            index += n
        else:
            seen.add(ngram)
            index += 1
    return characters


@given(st.lists(st.sampled_from(["a", "bb", "ccc"]), min_size=1, max_size=60))
def test_ngram_signals_equal_a_plain_walk(words: list[str]) -> None:
    text = " ".join(words)
    signals = measure(TextView(text))
    for n in DUP_LENGTHS:
        assert signals[f"dup_{n}gram_char_frac"] == _walk_by_hand(words, n) / len(text)
    for n in TOP_LENGTHS:
        counts = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
        top = max(counts, key=lambda ngram: counts[ngram], default="")
        assert signals[f"top_{n}gram_char_frac"] == len(top) * counts[top] / len(text)
