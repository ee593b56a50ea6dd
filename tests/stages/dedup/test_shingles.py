from __future__ import annotations

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from stages.dedup.shingles import shingles_of, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", ["hello", "world"]),
        ("It costs 3.50 or 1,000 dollars", ["it", "costs", "0", "or", "0", "dollars"]),
        ("Don't re-use e-mail", ["don", "t", "re", "use", "e", "mail"]),
        ("Caf\u00e9 \u00fcber \u00c4rger", ["cafe", "uber", "arger"]),
        ("\u4f60\u597d\uff0c\u4e16\u754c\u3002", ["\u4f60", "\u597d", "\u4e16", "\u754c"]),
        ("Linux \u5185\u6838", ["linux", "\u5185", "\u6838"]),
        ("\u304c\u304e", ["\u304b", "\u304d"]),
        ("\u0939\u093f\u0928\u094d\u0926\u0940 \u092d\u093e\u0937\u093e\u0964", 2),
        ("\ud55c\uad6d\uc5b4 \ubb38\uc7a5", 2),
        ("\u043f\u0440\u0438\u0432\u0435\u0442 \u2014 \u00ab\u043c\u0438\u0440\u00bb", 2),
        ("\u2026 --- !!! \u3002", []),
        ("", []),
    ],
)
def test_words(text: str, words: list[str] | int) -> None:
    found = words_of(text)
    assert (len(found) if isinstance(words, int) else found) == words


def plain_shingle(words: list[str]) -> int:
    total = 0
    for word in words:
        total = (total * 0x9E3779B97F4A7C15 + xxhash.xxh3_64_intdigest(word.encode())) % 2**64
    return total >> 32


def test_shingles_equal_the_plain_polynomial() -> None:
    words = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog"]
    expected = [plain_shingle(words[i : i + 5]) for i in range(len(words) - 4)]
    assert shingles_of(" ".join(words), 5).tolist() == expected


def test_a_short_text_is_one_shingle() -> None:
    assert len(shingles_of("only three words", 5)) == 1
    assert shingles_of("Only THREE words!", 5) == shingles_of("only three words", 5)
    assert shingles_of("only three word", 5) != shingles_of("only three words", 5)


def test_order_of_words_matters() -> None:
    assert shingles_of("a b c d e", 5) != shingles_of("e d c b a", 5)


def test_lone_surrogates_do_not_raise() -> None:
    assert len(shingles_of("one two three four f\ud800ve", 5)) == 1


@given(st.text(), st.integers(1, 8))
def test_counts(text: str, ngram: int) -> None:
    words = words_of(text)
    shingles = shingles_of(text, ngram)
    assert shingles.dtype == np.uint32
    assert len(shingles) == (max(1, len(words) - ngram + 1) if words else 0)
    assert all(word and " " not in word for word in words)


def test_numbers_count_where_they_are_kept() -> None:
    one, other = "what is 12 plus 7.5", "what is 45 plus 9"
    assert shingles_of(one, 5) == shingles_of(other, 5)
    kept = shingles_of(one, 3, numbers=True)
    assert kept.tolist() != shingles_of(other, 3, numbers=True).tolist()
    assert len(kept) == len(words_of(one, numbers=True)) - 2
