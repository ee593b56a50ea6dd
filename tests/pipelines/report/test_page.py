"""report.html: whole, self-contained, safe to open, the same for the same run."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pipelines.report import write_report
from pipelines.report.sections import SECTIONS
from pipelines.workspace import Workspace
from schemas.errors import InputError
from schemas.recipe import Recipe

HOSTILE = "</script></details><img src=x onerror=alert(1)>\x00\"'><svg/onload=alert(2)>\u202e&lt;"
HOSTILE_URLS = (
    'https://a.example/"onmouseover="alert(1)',
    "https://a.example/'><script>alert(1)</script>",
    "javascript:alert(1)//https://a.example/",
    "JavaScript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "https://a.example/\nx onclick=alert(1)",
    "//a.example/x",
    "https://[::1/broken",
    "",
)
VOID = {"meta", "br", "img", "link", "input", "hr", "base"}
TAGS = frozenset(
    re.findall(
        r"\w+",
        """html head meta title style body a header p h1 nav ul li main section h2 dl div dt dd
        small figure figcaption span strong svg desc rect text line circle path polyline details
        summary table caption thead tbody tr th td bdi article blockquote footer code""",
    )
)
ATTRIBUTES = frozenset(
    re.findall(
        r"[\w-]+",
        """lang charset http-equiv content name class href aria-label aria-labelledby id role
        tabindex scope dir rel viewbox x y width height rx x1 x2 y1 y2 cx cy r d points""",
    )
)
HOSTILE_PARTS = ("onerror", "onload", "alert", "javascript:")


class Page(HTMLParser):
    """What a browser would see: elements, attributes, links; unbalanced tags are an error."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def render(run: Any, folder: Path) -> str:
    workspace = run.write(folder)
    write_report(workspace)
    return (folder / "report.html").read_text(encoding="utf-8")


def assert_safe(html: str) -> Page:
    page = Page(html)
    assert {tag for tag, _ in page.elements} <= TAGS
    assert {name for _, attributes in page.elements for name in attributes} <= ATTRIBUTES
    for link in page.all("a"):
        assert re.match(r"#[a-z-]+$|https?://[^\s\"'<>]+$", link["href"] or "")
        if not (link["href"] or "").startswith("#"):
            assert {"noopener", "noreferrer"} <= set((link["rel"] or "").split())
    for _, attributes in page.elements:
        for name, value in attributes.items():
            if name not in ("content", "aria-label"):
                assert not any(part in (value or "") for part in HOSTILE_PARTS), (name, value)
    return page


def test_every_section_is_there_and_named_in_the_navigation(run: Any, tmp_path: Path) -> None:
    page = Page(render(run, tmp_path))
    ids = [attributes["id"] for attributes in page.all("section")]
    assert len(ids) == len(SECTIONS)
    anchors = [link["href"] for link in page.all("a")]
    assert all(f"#{name}" in anchors for name in ids)


def test_counts_of_the_run_are_on_the_page(run: Any, tmp_path: Path) -> None:
    html = render(run, tmp_path)
    total = len(run.documents) + len(run.rejected) + len(run.errors)
    assert f"Of {total:,} records, {len(run.documents):,} became documents." in html
    for rule in {row["rule"] for row in run.rejected}:
        assert rule in html
    text = " ".join(Page(html).text)
    assert "0.924 at 0.8" in text
    assert run.recipe.hash() in text


def test_same_run_files_give_the_same_bytes(run: Any, tmp_path: Path) -> None:
    workspace = run.write(tmp_path / "a")
    write_report(workspace)
    shutil.copytree(tmp_path / "a", tmp_path / "b" / "elsewhere")
    write_report(Workspace(str(tmp_path / "b" / "elsewhere")))
    for name in ("report.html", "DATA_CARD.md"):
        first = (tmp_path / "a" / name).read_bytes()
        assert first == (tmp_path / "b" / "elsewhere" / name).read_bytes()


def make_hostile(run: Any, make_rejection: Callable[..., Any], make_failure: Any) -> None:
    """Put hostile text wherever a crawl or its file names could put it."""
    for document, url in zip(run.documents, HOSTILE_URLS, strict=False):
        document.update(url=url, host=HOSTILE, text=HOSTILE * 20, charset=HOSTILE)
        document.update(language=HOSTILE, date=HOSTILE, source=HOSTILE, extractor=HOSTILE)
    run.documents[:] = run.documents[: len(HOSTILE_URLS)]
    run.clusters.clear()
    for number, url in enumerate(HOSTILE_URLS):
        row = make_rejection(number, "url", "url." + HOSTILE, url=url, text=HOSTILE * 5)
        run.rejected.append({**row, "detail": HOSTILE, "language": HOSTILE})
        error = make_failure(number, "read", HOSTILE, file=HOSTILE, url=url, detail=HOSTILE)
        run.errors.append(error)
    run.inputs = [{"path": HOSTILE.replace("\x00", ""), "size": 1}]


@pytest.fixture
def hostile(run: Any, make_rejection: Any, make_failure: Any) -> Any:
    make_hostile(run, make_rejection, make_failure)
    run.recipe = run.recipe.model_copy(update={"name": HOSTILE, "description": HOSTILE})
    return run


def test_hostile_text_stays_text(hostile: Any, tmp_path: Path) -> None:
    html = render(hostile, tmp_path)
    page = assert_safe(html)
    assert "\x00" not in html
    assert "\u202e" not in html
    shown = "".join(page.text)
    assert "<img src=x onerror=alert(1)>" in shown
    assert "javascript:alert(1)//https://a.example/" in shown
    assert not [link for link in page.all("a") if "alert" in (link["href"] or "")]


def test_an_honest_page_links_its_kept_samples(run: Any, tmp_path: Path) -> None:
    page = assert_safe(render(run, tmp_path))
    outside = [a["href"] for a in page.all("a") if not (a["href"] or "").startswith("#")]
    assert len(outside) == 12
    assert all((href or "").startswith("https://host") for href in outside)


def test_nothing_is_loaded_and_only_its_own_style_applies(run: Any, tmp_path: Path) -> None:
    html = render(run, tmp_path)
    page = Page(html)
    assert not re.search(r"@import|url\(|@font-face", html)
    assert "//www." not in re.sub(r'href="[^"]*"', "", html)
    (policy,) = [m["content"] or "" for m in page.all("meta") if m.get("http-equiv") is not None]
    style = html.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_charts_and_tables_say_what_they_are(run: Any, tmp_path: Path) -> None:
    html = render(run, tmp_path)
    page = Page(html)
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert max(ids.values()) == 1
    charts = page.all("svg")
    assert len(charts) > 10
    for chart in charts:
        assert chart["role"] == "img"
        assert all(ids[name] == 1 for name in (chart["aria-labelledby"] or "").split())
    assert len(page.all("caption")) == len(page.all("table"))
    assert page.all("html")[0]["lang"] == "en"


def test_size_is_bounded(run: Any, tmp_path: Path, make_document: Any) -> None:
    run.documents[:] = [
        make_document(
            number,
            text="word " * 40_000,
            url=f"https://h{number}.example/" + "x" * 5000,
            host=f"h{number}.example",
            language=f"l{number}",
        )
        for number in range(400)
    ]
    run.clusters.clear()
    run.rejected = [row for row in run.rejected if row["stage"] != "dedup"]
    for row in run.rejected:
        row.update(detail="d" * 10_000, url="https://e.example/" + "y" * 10_000)
    run.inputs = [{"path": f"crawl/{n}.warc.gz", "size": n} for n in range(5000)]
    render(run, tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 1_000_000
    assert (tmp_path / "DATA_CARD.md").stat().st_size < 100_000


def test_a_run_that_kept_nothing(run: Any, tmp_path: Path) -> None:
    run.documents.clear()
    run.clusters.clear()
    html = render(run, tmp_path)
    assert_safe(html)
    assert "there are no shards" in html
    assert "there are no shards" in (tmp_path / "DATA_CARD.md").read_text()


def test_a_run_over_nothing_at_all(recipe: Recipe, run: Any, tmp_path: Path) -> None:
    empty = type(run)(recipe)
    assert_safe(render(empty, tmp_path))


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run\.json"):
        write_report(Workspace(str(tmp_path)))


def test_a_damaged_file_is_named(run: Any, tmp_path: Path) -> None:
    workspace = run.write(tmp_path)
    (tmp_path / "rejected" / "part-1.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match=r"part-1\.parquet cannot be read") as caught:
        write_report(workspace)
    assert "\n" not in str(caught.value)
