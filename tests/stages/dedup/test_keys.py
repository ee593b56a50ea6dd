from __future__ import annotations

from stages.dedup import content_hash, url_key
from stages.dedup.keys import NO_URL


def test_content_hash_is_128_bits_and_fixed() -> None:
    assert content_hash("") == "99aa06d3014798d86001c324468d497f"
    assert len(content_hash("some text")) == 32


def test_content_hash_ignores_whitespace_and_composition() -> None:
    assert content_hash("Caf\u00e9 au\tlait\r\n\n now ") == content_hash("Cafe\u0301 au lait now")


def test_content_hash_keeps_case_punctuation_and_digits() -> None:
    texts = ["one two.", "one two", "One two.", "one 2."]
    assert len({content_hash(text) for text in texts}) == len(texts)


def test_lone_surrogates_are_hashed_not_raised() -> None:
    assert content_hash("a\ud800b") != content_hash("ab")


def test_url_key_is_64_bits_of_the_normalised_url() -> None:
    key = url_key("http://example.com/a")
    assert 0 < key < 2**64
    assert url_key("HTTP://EXAMPLE.com/a") == key
    assert url_key("http://example.com/b") != key


def test_no_url_has_no_key() -> None:
    assert url_key("") == NO_URL == 0
