from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.words import TextView, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat sat.", "The cat sat ."),
        ('He said: "No!"', 'He said : " No ! "'),
        ("I don't think it's John’s.", "I do n't think it 's John ’s ."),
        ("We cannot, they'll've", "We can not , they 'll 've"),
        ("well its hell", "well its hell"),
        ("Mr. Smith of the U.S. met Dr. No.", "Mr. Smith of the U.S. met Dr. No ."),
        ("a well-known co-op", "a well - known co - op"),
        ("-5 pages 10-20, 1,000.50 km", "-5 pages 10 - 20 , 1,000.50 km"),
        ("10km 50% $100 100€", "10 km 50 % $ 100 100 €"),
        ("see (www.example.com/a-b?c=d).", "see ( www.example.com/a-b?c=d ) ."),
        ("mail a.b@example.org, now", "mail a.b@example.org , now"),
        ("wait...what? word.Next", "wait ... what ? word . Next"),
        ("one,two and/or w/o", "one , two and/or w/o"),
        ("#tag AT&T C++ :)", "# tag AT&T C++ :)"),
        ("at 10am or 5 p.m.", "at 10 am or 5 p.m."),
    ],
)
def test_english_words_are_those_of_spacy(text: str, words: str) -> None:
    assert split_words(text) == words.split()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我喜欢猫。", "我 喜 欢 猫 。"),
        ("東京タワーへ行く", "東 京 タワー へ 行 く"),
        ("한국어 문장입니다.", "한국어 문장입니다 ."),
        ("ที่นี่", "ที่ นี่"),
        ("Русский текст, да.", "Русский текст , да ."),
        ("தமிழ் மொழி. się.", "தமிழ் மொழி . się ."),
        ("l'homme d’État", "l'homme d’État"),
        ("用Python写", "用 Python 写"),
    ],
)
def test_words_of_other_scripts(text: str, words: str) -> None:
    assert split_words(text) == words.split()


@given(st.text(st.characters(codec="utf-8")) | st.text("ab.,'\"-_:/@ \n1%$()[]!?…中か์ก"))
def test_words_are_the_text_without_its_whitespace(text: str) -> None:
    words = split_words(text)
    assert "".join(words) == re.sub(r"\s", "", text)
    assert all(word and not re.search(r"\s", word) for word in words)
    assert TextView(text).words == [w for line in text.splitlines() for w in split_words(line)]


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        ".",
        "a.",
        "a,",
        "_",
        "a_",
        "'s",
        "a.b@",
        "http://a.",
        "):",
        "1.",
        "-",
        'a"',
        "a=b",
        "中",
    ],
)
def test_cost_is_linear_in_long_unbroken_text(unit: str) -> None:
    start = time.process_time()
    split_words("x" + unit * (100_000 // len(unit)) + "\x00y")
    assert time.process_time() - start < 3.0


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", 0),
        ("no end mark", 1),
        ("One. Two! Three?", 3),
        ('He said "Stop." Then he left.', 2),
        ("The U.S. is big. Mr. No knows.", 2),
        ("Wait... what", 1),
        ("A title\nA line. Another", 3),
        ("猫が好き。犬も好き。", 2),
        ("...!", 1),
    ],
)
def test_sentences_follow_spacys_sentencizer(text: str, sentences: int) -> None:
    view = TextView(text)
    assert view.n_sentences == sentences
    assert len(view.sentences) == sentences
    assert [word for sentence in view.sentences for word in sentence] == view.words


def test_views_of_lines_paragraphs_and_ngrams() -> None:
    view = TextView("a b\nc\n\n\nd")
    assert view.lines == ["a b", "c", "", "", "d"]
    assert view.paragraphs == ["a b\nc", "d"]
    assert view.ngrams(2) == [("a", "b"), ("b", "c"), ("c", "d")]
    assert view.ngrams(5) == []
    assert TextView("").paragraphs == [""]


def test_a_view_after_an_edit_knows_the_words_of_unchanged_lines() -> None:
    before = TextView("It's one.\nTwo don't.\nThree.")
    assert before.words == ["It", "'s", "one", ".", "Two", "do", "n't", ".", "Three", "."]
    after = TextView("Two don't.\nFour.", before)
    assert after.words == ["Two", "do", "n't", ".", "Four", "."]
    assert after.line_words[0] is before.line_words[1]
