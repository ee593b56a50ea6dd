"""The training run that the folder holds: how the loss fell, and what the model writes."""

from __future__ import annotations

from pipelines.report import formats
from pipelines.report.blocks import (
    Block,
    Excerpt,
    ExcerptGroup,
    Excerpts,
    Figure,
    Section,
    Tile,
    Tiles,
)
from pipelines.report.gather import RunFacts
from pipelines.report.lines import Line, lines
from pipelines.report.trained import TrainingFacts


def training(facts: RunFacts) -> Section | None:
    """Loss curve, last numbers, samples of text."""
    trained = facts.training
    if trained is None:
        return None
    steps = len(trained.steps)
    lead = (
        f"A model trained on the shards above for {formats.things(steps, 'step')}. Loss is in nats "
        "a token; bits a byte compare models with different tokenizers."
    )
    blocks: list[Block] = [Tiles(_tiles(trained)), _curve(trained)]
    if trained.samples:
        blocks.append(_samples(trained))
    return Section("training", "Training", lead, blocks)


def _tiles(trained: TrainingFacts) -> list[Tile]:
    last = trained.last
    tiles = [Tile("loss", f"{trained.steps[-1][1]:.3f}", f"{trained.steps[0][1]:.3f} at the start")]
    if trained.validations:
        tiles.append(Tile("validation loss", f"{trained.validations[-1][1]:.3f}", "nats a token"))
    known = (
        ("bits_per_byte", "bits a byte", "{:.3f}", "on the validation split"),
        ("tokens", "tokens seen", "{:,.0f}", ""),
        ("tokens_per_s", "tokens a second", "{:,.0f}", ""),
    )
    for key, title, form, note in known:
        value = last.get(key)
        if isinstance(value, int | float):
            tiles.append(Tile(title, form.format(value), note))
    return tiles


def _curve(trained: TrainingFacts) -> Figure:
    drawn = [Line(trained.steps)]
    legend = [("kept", "training batch")]
    if trained.validations:
        drawn.append(Line(trained.validations, "line second"))
        legend.append(("rejected", "validation split"))
    return Figure(lines("loss", "Loss by step", drawn, "step", "loss, nats a token"), legend=legend)


def _samples(trained: TrainingFacts) -> Excerpts:
    last = max(step for step, _, _ in trained.samples)
    excerpts = [
        Excerpt(f"step {step}", [f"prompt: {prompt!r}" if prompt else "no prompt"], prompt + text)
        for step, prompt, text in sorted(trained.samples, reverse=True)
        if step == last or not prompt
    ]
    return Excerpts([ExcerptGroup("Text that the model wrote", "newest first", excerpts[:8])])
