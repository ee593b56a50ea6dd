"""DATA_CARD.md: complete, and inert whatever the run holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.report import markdown, write_report
from pipelines.report.card import known_limits
from pipelines.report.gather import gather
from schemas.recipe import Dedup, Pii

HOSTILE = (
    "a | b</td> <img src=x onerror=alert(1)> [x](javascript:alert(1)) ![y](http://z.example)\n"
    "# head\n\n- **item** `code` <https://e.example> www.e.example $m$ ~~s~~ `"
)


def card_of(run: Any, folder: Path) -> str:
    write_report(run.write(folder))
    return (folder / "DATA_CARD.md").read_text(encoding="utf-8")


def test_what_a_card_must_say(run: Any, tmp_path: Path) -> None:
    card = card_of(run, tmp_path)
    headings = re.findall(r"^#+ (.*)$", card, re.MULTILINE)
    assert headings == [
        "Data card: fineweb",
        "Sources",
        "Retention",
        "Languages",
        "Rules",
        "Deduplication",
        "Personal data",
        "Decontamination",
        "Tokens and shards",
        "Software",
        "Known limits",
    ]
    for expected in (
        run.recipe.hash(),
        "11.67%",
        "19.9%",
        "`gopher_quality.n_words ≥ 50`",
        "Jaccard 0.8: 0.924",
        "| email |",
        "`train`",
        "tokenizer.model",
        "`trafilatura` 2.3.1",
    ):
        assert expected in card


def test_rows_of_a_table_have_the_cells_of_its_head(run: Any, tmp_path: Path) -> None:
    width = None
    for line in card_of(run, tmp_path).splitlines():
        if not line.startswith("|"):
            width = None
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        assert width in (None, cells), line
        width = cells


def test_folders_of_local_inputs_stay_private(run: Any, tmp_path: Path) -> None:
    run.inputs = [
        {"path": "/home/someone/secret/a.warc.gz", "size": 1},
        {"path": "gs://bucket/folder/b.warc.gz", "size": 1},
    ]
    card = card_of(run, tmp_path)
    assert "someone" not in card
    assert "- `a.warc.gz`" in card
    assert "- `gs://bucket/folder/b.warc.gz`" in card


def test_hostile_values_render_as_text(
    run: Any, tmp_path: Path, make_rejection: Any, make_failure: Any
) -> None:
    parser = pytest.importorskip("markdown_it")
    for document in run.documents[:50]:
        document.update(host=HOSTILE, language=HOSTILE)
    run.rejected.append(make_rejection(1, "url", HOSTILE, url=f"https://{HOSTILE}/"))
    run.errors.append(make_failure(1, "read", HOSTILE))
    run.inputs = [{"path": HOSTILE, "size": 1}]
    run.recipe = run.recipe.model_copy(update={"name": HOSTILE, "description": HOSTILE})
    card = card_of(run, tmp_path)
    html = parser.MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(card)
    tags = set(re.findall(r"<([a-z0-9]+)", html))
    assert tags <= {
        "h1",
        "h2",
        "p",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "ul",
        "li",
        "code",
    }
    assert html.count("<h1>") == 1
    assert "**item**" in html


@given(st.text())
def test_prose_and_code_stay_on_one_line_without_markup(text: str) -> None:
    for shown in (str(markdown.prose(text)), str(markdown.code(text))):
        assert len(shown.splitlines()) <= 1
    assert "<" not in str(markdown.prose(text))
    assert ">" not in str(markdown.prose(text))


@given(st.text(alphabet="`ab |\\", min_size=1))
def test_code_spans_close_where_they_should(text: str) -> None:
    shown = str(markdown.code(text))
    fence = re.match(r"`+", shown)
    if fence is None:
        assert not text.split()
        return
    inside = shown[len(fence[0]) : -len(fence[0])]
    assert fence[0] not in re.findall(r"`+", inside)
    assert "|" not in shown


def test_markup_characters_inside_words_stay_readable() -> None:
    assert str(markdown.prose("gopher_quality_filter.py")) == "gopher_quality_filter.py"
    assert str(markdown.prose("_a_ *b* c & d")) == r"\_a\_ \*b\* c &amp; d"


def test_limits_follow_the_recipe(run: Any, tmp_path: Path) -> None:
    facts = gather(run.write(tmp_path))
    before = " ".join(known_limits(facts))
    assert "Names of people were not looked for" in before
    facts.recipe = facts.recipe.model_copy(
        update={"pii": Pii(kinds=[]), "dedup": Dedup(minhash=None)}
    )
    after = " ".join(known_limits(facts))
    assert "Personal data was not replaced" in after
    assert "Near duplicates were not looked for" in after
