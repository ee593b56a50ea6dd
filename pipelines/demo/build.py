"""`python -m pipelines.demo.build`: make sample.warc.gz and expected.jsonl again.

The bytes depend on the texts, on the modules of this package and on zlib's compression, which
differs between zlib and its substitutes; the uncompressed records do not.
"""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path

from pipelines.demo import EXPECTED_NAME, SAMPLE_NAME
from pipelines.demo.articles import Article, load
from pipelines.demo.cases import original, planted
from pipelines.demo.digests import assembled
from pipelines.demo.plan import Planned, page, row
from pipelines.demo.warcfile import write

_PLANTED_ONLY = "cases"
_REJECTED = "rejected"


def library() -> dict[str, list[Article]]:
    """Every article of `texts/` by the stem of its file, in the order of the names."""
    folder = resources.files(__package__).joinpath("texts")
    stems = sorted(entry.name.removesuffix(".txt") for entry in folder.iterdir())
    return {stem: load(stem) for stem in stems}


def pages() -> list[Planned]:
    """Every page of the sample in the order of the file: by hash of the address, so that kinds
    of pages, and duplicates, are spread over it."""
    shelves = library()
    everything: list[Planned] = []
    for stem, articles in shelves.items():
        if stem.endswith((_PLANTED_ONLY, _REJECTED)):
            continue
        for article in articles:
            whole = assembled(article, shelves)
            everything.append(page(whole, articles, original(article, articles)))
    everything += planted(shelves)
    return sorted(everything, key=_place)


def _place(planned: Planned) -> tuple[bool, str]:
    # A revisit stands behind the record it refers to.
    digest = hashlib.sha256(planned.url.encode()).hexdigest()
    return planned.record_type == "revisit", digest


def build() -> tuple[bytes, str]:
    """The bytes of the sample WARC and the text of its table of expected ends."""
    planned = pages()
    content, offsets = write(planned, SAMPLE_NAME)
    lines = [
        json.dumps(row(each, offset), ensure_ascii=False, sort_keys=True)
        for each, offset in zip(planned, offsets, strict=True)
    ]
    return content, "\n".join(lines) + "\n"


def main() -> None:
    """Write both files beside this module."""
    folder = Path(__file__).resolve().parent
    content, table = build()
    (folder / SAMPLE_NAME).write_bytes(content)
    (folder / EXPECTED_NAME).write_text(table, encoding="utf-8", newline="\n")
    print(f"{SAMPLE_NAME}: {len(content)} bytes, {table.count(chr(10))} pages")


if __name__ == "__main__":
    main()
