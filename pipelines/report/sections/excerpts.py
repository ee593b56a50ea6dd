"""Documents to look at, kept and rejected."""

from __future__ import annotations

from pipelines.report import formats
from pipelines.report.blocks import Excerpt, ExcerptGroup, Excerpts, Section
from pipelines.report.facts import SAMPLES_PER_RULE
from pipelines.report.gather import RunFacts
from pipelines.report.samples import EXCERPT_CHARACTERS, Sample
from pipelines.report.untrusted import link, shorten
from schemas.tables import REJECTED_TEXT_CHARS

URL_CHARACTERS = 160
OPENING_CHARACTERS = 90
RULES_SHOWN = 80


def kept(facts: RunFacts) -> Section | None:
    """A few kept documents."""
    if not facts.kept_samples:
        return None
    groups = [
        ExcerptGroup(
            _opening(sample["text"] or ""),
            f"{sample['language']} · {sample['n_words'] or 0:,} words",
            [_kept_excerpt(sample)],
        )
        for sample in facts.kept_samples
    ]
    lead = (
        f"{len(groups)} of {facts.kept:,}, picked by hashed id, with the first "
        f"{EXCERPT_CHARACTERS} characters as they are in the shards. Open one to read it."
    )
    return Section("kept", "Kept documents", lead, [Excerpts(groups)])


def _opening(text: str) -> str:
    return shorten(" ".join(text[: 2 * OPENING_CHARACTERS].split()), OPENING_CHARACTERS)


def _kept_excerpt(sample: Sample) -> Excerpt:
    found = {kind: n for kind, n in (sample["pii"] or {}).items() if n}
    said = [
        f"{sample['language']} ({formats.number(sample['language_score'])})",
        f"{sample['n_words'] or 0:,} words",
        f"split {sample['split']}",
        f"crawled {shorten(sample['date'] or 'at an unknown time', 25)}",
    ]
    if (sample["cluster_size"] or 1) > 1:
        said.append(f"stands for {sample['cluster_size']:,} documents")
    if found:
        said.append("replaced: " + ", ".join(f"{n} {kind}" for kind, n in found.items()))
    return Excerpt(link(sample["url"] or ""), said, sample["text"] or "")


def rejected(facts: RunFacts) -> Section | None:
    """A few rejected documents a rule."""
    if not facts.rejected_samples:
        return None
    counts = facts.record.rules
    ranked = sorted(facts.rejected_samples, key=lambda rule: (-counts.get(rule, 0), rule))
    groups = [
        ExcerptGroup(
            rule,
            f"{counts.get(rule, 0):,} rejected",
            [_rejected_excerpt(sample) for sample in facts.rejected_samples[rule]],
        )
        for rule in ranked[:RULES_SHOWN]
    ]
    lead = (
        f"Up to {SAMPLES_PER_RULE} a rule, picked by hashed id. Addresses are not links, since "
        "some lead where nobody should go; the text is what there was when the rule was asked."
    )
    return Section("rejected", "Rejected documents", lead, [Excerpts(groups)])


def _rejected_excerpt(sample: Sample) -> Excerpt:
    said = []
    if sample["value"] is not None:
        said.append(f"value {formats.number(sample['value'])}")
    if sample["threshold"] is not None:
        said.append(f"threshold {formats.number(sample['threshold'])}")
    if sample["detail"] and sample["detail"] != sample["language"]:
        said.append(shorten(sample["detail"], 200))
    if sample["language"]:
        said.append(sample["language"])
    url = shorten(sample["url"] or "(no URL)", URL_CHARACTERS)
    text = sample["text"] or ""
    return Excerpt(url, said, text + "…" if len(text) == REJECTED_TEXT_CHARS else text)
