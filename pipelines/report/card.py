"""DATA_CARD.md: what somebody who is handed the shards should know of them."""

from __future__ import annotations

from typing import NamedTuple

from pipelines.report import formats, markdown, published
from pipelines.report.gather import RunFacts
from pipelines.report.templating import templates
from pipelines.report.wording import (
    condition,
    decontamination_settings,
    dedup_settings,
    intake_settings,
    meaning,
)
from schemas.recipe import Edit, Recipe, Rule

INPUTS_LISTED = 50
LANGUAGES_LISTED = 40
RULES_LISTED = 20
HOSTS_LISTED = 10


class CardRule(NamedTuple):
    """A step of the quality part of the recipe."""

    name: str
    does: str
    source: str


def render_card(facts: RunFacts) -> str:
    """The whole card as Markdown."""
    environment = templates(markdown.prose, code=markdown.code)
    ranked = sorted(
        facts.languages.items(), key=lambda item: (-item[1].documents, -item[1].rejected, item[0])
    )
    return environment.get_template("data_card.md.j2").render(
        facts=facts,
        record=facts.record,
        recipe=facts.recipe,
        inputs=[(_source(f.path), f.size) for f in facts.record.inputs[:INPUTS_LISTED]],
        input_bytes=sum(file.size for file in facts.record.inputs),
        languages=[item for item in ranked if item[1].documents][:LANGUAGES_LISTED],
        top_rules=sorted(facts.record.rules.items(), key=lambda i: (-i[1], i[0]))[:RULES_LISTED],
        rejected=sum(facts.record.rules.values()),
        hosts=facts.documents.hosts.top(HOSTS_LISTED),
        rejected_hosts=facts.rejected.hosts.top(HOSTS_LISTED),
        rules=[_card_rule(step) for step in facts.recipe.quality],
        compared=published.compare(facts.record),
        caveat=published.CAVEAT,
        intake=intake_settings(facts.recipe),
        dedup=dedup_settings(facts.recipe.dedup),
        decontamination=decontamination_settings(facts.recipe.decontamination),
        limits=known_limits(facts),
        meaning=meaning,
        tokens=sum(split.tokens for split in facts.record.shards),
    )


def _source(path: str) -> str:
    """The name alone of a local file: a card travels with the data, and folders tell of people."""
    return path if "://" in path else path.rsplit("/", 1)[-1]


def _card_rule(step: Rule | Edit) -> CardRule:
    if isinstance(step, Rule):
        return CardRule(step.rule, condition(step), step.source)
    options = ", ".join(f"{key}={value}" for key, value in sorted(step.options.items()))
    return CardRule(step.edit, f"edits the text {options}".strip(), step.source)


def known_limits(facts: RunFacts) -> list[str]:
    """What the recipe and the run leave undone, in sentences."""
    recipe = facts.recipe
    limits = [
        "The text was written by others and keeps their rights; being in a crawl is no licence.",
        "Languages are labelled by a classifier, which errs on short, mixed and related ones.",
        "Rules over counts of words and characters are blind to what a text says: false, hateful "
        "or machine-made text passes where its form is regular.",
        _pii_limit(recipe),
        _dedup_limit(recipe),
        _decontamination_limit(facts),
    ]
    if recipe.shards.validation_fraction:
        limits.append(
            "The validation split is drawn by hashed document id: near duplicates that "
            "deduplication missed may lie on both sides."
        )
    if facts.record.limit is not None:
        limits.append(f"The run stopped after {facts.record.limit:,} pages of its input.")
    errors = sum(phase.errors for phase in facts.record.phases)
    if errors:
        share = formats.percent(errors, facts.records_in)
        limits.append(f"{errors:,} records ({share}) could not be read or judged; see errors/.")
    return limits


def _pii_limit(recipe: Recipe) -> str:
    if not recipe.pii.kinds:
        return "Personal data was not replaced."
    names = "" if "name" in recipe.pii.kinds else " Names of people were not looked for."
    return (
        "Personal data was found by patterns and checksums, which miss what is written in an "
        f"unusual way, and sometimes take other numbers for it.{names}"
    )


def _decontamination_limit(facts: RunFacts) -> str:
    if not facts.record.benchmarks:
        return (
            "Text was not compared with evaluation sets: check for contamination before reporting "
            "benchmark results."
        )
    return (
        "Text was compared, word by word, with the benchmarks above only; translations, "
        "rewordings and short items of them may have stayed."
    )


def _dedup_limit(recipe: Recipe) -> str:
    if recipe.dedup.minhash is None:
        return "Near duplicates were not looked for."
    return (
        "Duplicates were looked for within this run only; passages that texts share without "
        "being alike as a whole remain."
    )
