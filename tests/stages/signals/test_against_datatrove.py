"""The recipe `fineweb` against the filters it describes, on real texts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from pipelines.recipes import load
from stages.decide import judge

pytest.importorskip("spacy", reason="datatrove's tokeniser")


@pytest.mark.slow
def test_the_kept_set_is_datatroves(shared_data: Path) -> None:
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    filters = (
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    )
    steps = load("fineweb").quality
    kept: tuple[set[int], set[int]] = (set(), set())
    with gzip.open(shared_data / "warc_pages" / "ground_truth.jsonl.gz", "rt") as lines:
        texts = [text for line in lines if (text := json.loads(line).get("main_text"))][::5]
    for number, text in enumerate(texts):
        document = Document(text=text, id="0")
        if all(step.filter(document) is True for step in filters):
            kept[0].add(number)
        judgement = judge(text, steps, "en")
        if judgement.rejection is None:
            kept[1].add(number)
            if number in kept[0]:
                assert judgement.text == document.text
    assert len(kept[0]) > 50
    assert len(kept[0] & kept[1]) / len(kept[0] | kept[1]) >= 0.98
