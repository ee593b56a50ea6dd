"""The training runs that the folder holds: how the loss fell, and what the models write."""

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
    blocks: list[Block] = [Tiles(_tiles(trained)), _curve(trained, "loss")]
    if trained.samples:
        blocks.append(_samples(trained))
    return Section("training", "Training", lead, blocks)


def finetuning(facts: RunFacts) -> Section | None:
    """Loss curve, last numbers, questions and answers."""
    trained = facts.finetuning
    if trained is None:
        return None
    steps = len(trained.steps)
    lead = (
        f"The same model, fine-tuned on conversations for {formats.things(steps, 'step')}: the "
        "loss is that of the answers alone. The questions below were held out."
    )
    blocks: list[Block] = [Tiles(_tiles(trained)), _curve(trained, "answers-loss")]
    if trained.samples:
        blocks.append(_answers(trained))
    return Section("finetuning", "Fine-tuning", lead, blocks)


def _tiles(trained: TrainingFacts) -> list[Tile]:
    last = trained.last
    tiles = [Tile("loss", f"{trained.steps[-1][1]:.3f}", f"{trained.steps[0][1]:.3f} at the start")]
    if trained.validations:
        tiles.append(Tile("validation loss", f"{trained.validations[-1][1]:.3f}", "nats a token"))
    known = (
        ("exact_match", "exact answers", "{:.1%}", "to held-out questions"),
        ("accuracy", "tokens guessed right", "{:.1%}", "of held-out answers"),
        ("bits_per_byte", "bits a byte", "{:.3f}", "on the validation split"),
        ("tokens", "tokens seen", "{:,.0f}", ""),
        ("tokens_per_s", "tokens a second", "{:,.0f}", ""),
    )
    for key, title, form, note in known:
        value = last.get(key)
        if isinstance(value, int | float):
            tiles.append(Tile(title, form.format(value), note))
    return tiles


def _curve(trained: TrainingFacts, name: str) -> Figure:
    drawn = [Line(trained.steps)]
    legend = [("kept", "training batch")]
    if trained.validations:
        drawn.append(Line(trained.validations, "line second"))
        legend.append(("rejected", "validation split"))
    return Figure(lines(name, "Loss by step", drawn, "step", "loss, nats a token"), legend=legend)


def _samples(trained: TrainingFacts) -> Excerpts:
    last = max(sample.step for sample in trained.samples)
    excerpts = [
        Excerpt(f"step {step}", [f"prompt: {prompt!r}" if prompt else "no prompt"], prompt + text)
        for step, prompt, text, _ in sorted(trained.samples, reverse=True, key=lambda s: s[:3])
        if step == last or not prompt
    ]
    return Excerpts([ExcerptGroup("Text that the model wrote", "newest first", excerpts[:8])])


def _answers(trained: TrainingFacts) -> Excerpts:
    """Wrong answers of the last step first: they are what there is to learn from."""
    last = max(sample.step for sample in trained.samples)
    asked = [sample for sample in trained.samples if sample.step == last]
    asked.sort(key=lambda sample: sample.text == sample.expected)
    excerpts = []
    for sample in asked[:8]:
        right = sample.text == sample.expected
        note = "right" if right else f"expected: {sample.expected}"
        excerpts.append(Excerpt(sample.prompt, [note], sample.text))
    return Excerpts([ExcerptGroup("Answers to held-out questions", "wrong ones first", excerpts)])
