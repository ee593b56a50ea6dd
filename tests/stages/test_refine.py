"""refine(): each way a page can end, and that it depends on the page alone."""

from __future__ import annotations

import pytest

from pipelines.recipes import load
from schemas.page import Page
from schemas.recipe import Recipe
from stages.refine import RefineAssets, Refiner, document_id
from tests.builders.pages import article_page

PARAGRAPHS = [
    "The harbour of the town was built in the years after the great storm, when the fishermen "
    "of the coast had lost half of their boats and with them the trust in the old wooden pier.",
    "Stone was brought from the hills by ox carts, and for three summers the masons of the valley "
    "worked beside the sailors to raise a wall that the winter waves would not carry away.",
    "Today the harbour is quiet: a few trawlers leave before dawn, the market opens at seven, and "
    "visitors walk along the wall to look at the lighthouse that stands at the end of it.",
    "What remains of the old pier can be seen at low tide, a row of black posts that leads from "
    "the beach towards the open sea, and children climb on them to fish for crabs. Nobody "
    "remembers who drove them into the sand.",
]


def page(paragraphs: list[str] = PARAGRAPHS, **changes: object) -> Page:
    return article_page(paragraphs, **changes)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load("fineweb", ["url.blocklist=null"])


@pytest.fixture(scope="module")
def refiner(recipe: Recipe) -> Refiner:
    return Refiner(recipe, RefineAssets(blocklist=None))


def test_a_good_page_is_kept_with_everything_later_phases_need(refiner: Refiner) -> None:
    outcome = refiner.refine(page())
    assert outcome.kept
    assert outcome.text.startswith("The harbour of the town")
    assert (outcome.language, outcome.charset, outcome.mime) == ("en", "utf-8", "text/html")
    assert outcome.host == "harbour.example"
    assert len(outcome.content_hash) == 32
    assert len(outcome.bands) == 14 * 8
    assert outcome.url_key
    assert outcome.n_words > 100
    assert set(outcome.seconds_by_step) >= {"page", "url", "decode", "gate", "extract", "quality"}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"http_status": 500}, "page.status"),
        ({"url": "https://x.example/free-porn-videos"}, "url.hard_word"),
        ({"body": b"<html><body><img src=a.png></body></html>"}, "extract.empty"),
        (
            {"body": page(["Der Hafen der Stadt wurde nach dem großen Sturm gebaut. " * 8]).body},
            "gate.language",
        ),
    ],
)
def test_rejections_name_their_rule(
    refiner: Refiner, changes: dict[str, object], rule: str
) -> None:
    rejection = refiner.refine(page(**changes)).rejection
    assert rejection is not None
    assert rejection.rule == rule


def test_quality_rejections_carry_value_and_threshold(refiner: Refiner) -> None:
    rejection = refiner.refine(page(PARAGRAPHS[:1])).rejection
    assert rejection is not None
    assert rejection.stage == "quality"
    assert rejection.value is not None
    assert rejection.threshold is not None


@pytest.mark.parametrize(
    ("damage", "truncated", "failed"),
    [
        ("short_body", "", True),
        ("short_body", "length", False),
        ("truncated_gzip", "", True),
        ("block_digest_mismatch", "", False),
        ("payload_digest_mismatch", "", False),
    ],
)
def test_half_a_page_is_an_error_and_a_bad_digest_is_not(
    refiner: Refiner, damage: str, truncated: str, failed: bool
) -> None:
    outcome = refiner.refine(page(damage=damage, truncated=truncated))
    assert (outcome.failure is not None) == failed
    if outcome.failure:
        assert outcome.failure == ("read", "damaged_payload", damage)


def test_text_rows_skip_extraction(refiner: Refiner) -> None:
    outcome = refiner.refine(
        page(body=b"", text="\n\n".join(PARAGRAPHS), record_type="row", content_type="text/plain")
    )
    assert outcome.kept
    assert outcome.extractor == "none"


def test_the_outcome_depends_on_the_page_alone(recipe: Recipe, refiner: Refiner) -> None:
    pages = [page(PARAGRAPHS[i:] + PARAGRAPHS[:i], url=f"https://h.example/{i}") for i in range(4)]
    alone = [Refiner(recipe, RefineAssets(None)).refine(p).text for p in pages]
    together = [refiner.refine(p).text for p in [*pages, *reversed(pages)]]
    assert together == alone + alone[::-1]


def test_ids_are_content() -> None:
    here, there = page(), page(warc_file="b.warc.gz", warc_offset=99, record_id="<urn:uuid:2>")
    assert document_id(here) == document_id(there)
    others = [
        page(url="https://harbour.example/other"),
        page(date="2025-01-01T00:00:00Z"),
        page(PARAGRAPHS[:2]),
    ]
    assert len({document_id(p) for p in [here, *others]}) == 4


def test_words_of_a_text_without_spaces_are_counted(refiner: Refiner) -> None:
    chinese = load("demo", ["url.blocklist=null"])
    text = (
        "春天的早晨,我们沿着河边的小路走到茶园,看工人采摘新茶。"
        "山上的雾慢慢散开,露出一层一层的绿色。老人说今年的雨水正好,茶叶比去年更香,也更耐泡。"
    )
    outcome = Refiner(chinese, RefineAssets(None)).refine(
        page(body=b"", text=text, record_type="row", content_type="text/plain")
    )
    assert outcome.kept, outcome.rejection
    assert outcome.n_words > 50


STEPS = {
    "page": "stages.refine.check_page",
    "decode": "stages.refine.charset.decode",
    "gate": "stages.refine.raw_text",
    "extract": "stages.refine.tidy",
    "language": "stages.refine.check_language",
    "quality": "stages.refine.decide.judge",
    "hash": "stages.refine.content_hash",
}


@pytest.mark.parametrize("step", STEPS)
def test_a_defect_costs_the_page_that_met_it(
    refiner: Refiner, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("float division\nby \ud800 zero")

    monkeypatch.setattr(STEPS[step], fail)
    failure = refiner.refine(page()).failure
    assert failure == (step, "internal_error", "ZeroDivisionError: float division by ? zero")
    monkeypatch.undo()
    assert refiner.refine(page()).kept


def test_a_defect_in_what_every_outcome_has_costs_one_page_too(
    refiner: Refiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(url: str) -> str:
        raise RecursionError(url)

    monkeypatch.setattr("stages.refine.host_of", fail)
    failure = refiner.refine(page()).failure
    assert failure is not None
    assert failure[:2] == ("page", "internal_error")


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_an_end_of_the_process_is_no_failure_of_a_page(
    refiner: Refiner, monkeypatch: pytest.MonkeyPatch, end: type[BaseException]
) -> None:
    def stop(*arguments: object) -> None:
        raise end

    monkeypatch.setattr("stages.refine.check_page", stop)
    with pytest.raises(end):
        refiner.refine(page())
