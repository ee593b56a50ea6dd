"""Articles, digests and layouts."""

from __future__ import annotations

from html import escape
from importlib import resources
from itertools import combinations

import pytest

from pipelines.demo.articles import Article, Block, load
from pipelines.demo.build import library
from pipelines.demo.digests import assembled
from pipelines.demo.layouts import LAYOUTS

PLANTED_JACCARD = 0.3


def test_blocks_by_their_marks() -> None:
    article = next(each for each in load("en_docs") if each.slug == "docs-backup")
    kinds = [block.kind for block in article.blocks]
    assert kinds[:5] == ["paragraph", "heading", "item", "item", "item"]
    assert "code" in kinds
    assert not any(block.text.startswith(("#", "- ", "```")) for block in article.blocks)


def test_posts_have_authors() -> None:
    posts = load("en_forum")[0].blocks
    assert posts[0].author == "ketteridge"
    assert not posts[0].text.startswith("@")


def test_digest_quotes_the_paragraph_it_names() -> None:
    quoted = Article("b", "B", "en", "x", (Block("paragraph", "zero"), Block("paragraph", "one")))
    digest = Article("a", "A", "en", "x", (Block("paragraph", ">> b 1"), Block("paragraph", "two")))
    texts = [block.text for block in assembled(digest, {"x": [quoted, digest]}).blocks]
    assert texts == ["one", "two"]
    with pytest.raises(KeyError):
        assembled(digest, {"x": [digest]})


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_layouts_hold_the_whole_text(name: str) -> None:
    article = load({"forum": "en_forum", "docs": "en_docs", "product": "en_shop"}.get(name, "fr"))[
        0
    ]
    html = LAYOUTS[name](article, "Site", '<meta charset="utf-8">', [article])
    assert '<meta charset="utf-8">' in html
    for block in article.blocks:
        assert escape(block.text, quote=False) in html
        assert block.author in html


def _shingles(article: Article) -> set[str]:
    text = " ".join(block.text for block in article.blocks)
    # Scripts without spaces: characters are the nearest thing to words.
    words = list(text) if article.language in ("zh", "ja") else text.split()
    return {" ".join(words[i : i + 5]) for i in range(len(words) - 4)}


def test_articles_are_really_different() -> None:
    shelves = library()
    kept = [
        _shingles(assembled(article, shelves))
        for stem, shelf in shelves.items()
        if not stem.endswith(("cases", "rejected"))
        for article in shelf
    ]
    for first, second in combinations(kept, 2):
        common = len(first & second)
        assert common <= PLANTED_JACCARD * (len(first) + len(second) - common)


def test_no_file_of_texts_is_empty() -> None:
    folder = resources.files("pipelines.demo").joinpath("texts")
    assert all(load(entry.name.removesuffix(".txt")) for entry in folder.iterdir())
