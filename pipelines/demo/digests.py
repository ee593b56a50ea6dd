"""Pages that quote paragraphs of other articles between words of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.demo.articles import Article, Block

_MARK = ">> "


def assembled(article: Article, library: Mapping[str, Sequence[Article]]) -> Article:
    """The article with each line `>> slug number` replaced by that paragraph, counted from 0.

    Raises KeyError for a slug that no article has.
    """
    if not any(block.text.startswith(_MARK) for block in article.blocks):
        return article
    by_slug = {other.slug: other for shelf in library.values() for other in shelf}
    return article._replace(blocks=tuple(_resolved(block, by_slug) for block in article.blocks))


def _resolved(block: Block, by_slug: Mapping[str, Article]) -> Block:
    if not block.text.startswith(_MARK):
        return block
    slug, number = block.text.removeprefix(_MARK).split()
    return by_slug[slug].blocks[int(number)]
