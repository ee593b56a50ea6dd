"""The articles of the sample, parsed from the plain files in `texts/`.

A file holds many articles. `= slug | title` begins one; then every line is a paragraph, `## ` a
heading, `- ` a list item, `@name: ` a post or review, and lines between two ``` fences are code.
"""

from __future__ import annotations

from importlib import resources
from typing import Literal, NamedTuple

Kind = Literal["paragraph", "heading", "item", "post", "code"]


class Block(NamedTuple):
    """One piece of an article's body."""

    kind: Kind
    text: str
    author: str = ""


class Article(NamedTuple):
    """One article."""

    slug: str
    title: str
    language: str
    source: str
    """Stem of the file it stands in, such as `en_garden`."""
    blocks: tuple[Block, ...]


_FENCE = "```"


def load(source: str) -> list[Article]:
    """The articles of `texts/<source>.txt`, in file order."""
    text = resources.files(__package__).joinpath("texts", f"{source}.txt").read_text("utf-8")
    articles: list[Article] = []
    for part in text.split("\n= "):
        head, _, body = part.removeprefix("= ").partition("\n")
        slug, _, title = head.partition(" | ")
        blocks = tuple(_blocks(body.splitlines()))
        articles.append(Article(slug, title, source.partition("_")[0], source, blocks))
    return articles


def _blocks(lines: list[str]) -> list[Block]:
    blocks: list[Block] = []
    code: list[str] | None = None
    for line in lines:
        if line == _FENCE:
            if code is not None:
                blocks.append(Block("code", "\n".join(code)))
            code = [] if code is None else None
        elif code is not None:
            code.append(line)
        elif line.strip():
            blocks.append(_block(line.strip()))
    return blocks


def _block(line: str) -> Block:
    if line.startswith("## "):
        return Block("heading", line[3:])
    if line.startswith("- "):
        return Block("item", line[2:])
    if line.startswith("@"):
        author, _, text = line[1:].partition(": ")
        return Block("post", text, author)
    return Block("paragraph", line)
