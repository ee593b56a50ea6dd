"""`corpusmill instruct select`: the driver and its methods."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from schemas.errors import InputError, UsageError
from training.instruct.config import ModelSource
from training.instruct.diversity import Points, apart, k_center
from training.instruct.json_lines import write_lines
from training.instruct.records import Record, read_records

if TYPE_CHECKING:
    from model.decoder import Decoder
    from training.chat.formatter import ChatFormatter

SCORES_SUFFIX, ANSWERS_SUFFIX = ".scores.jsonl", ".answers.jsonl"


@dataclass(frozen=True)
class SelectRequest:
    """One `corpusmill instruct select` as asked for."""

    input: Path
    output: Path
    count: int
    method: str
    format: str = "messages"
    model: str | None = None
    """A run or Hugging Face folder."""
    embeddings: Path | None = None
    """.npy [N, d], a row a record of the input, in place of the model's."""
    raters: ModelSource | None = None
    """Who rates complexity and quality, for records that have no such fields."""
    lowest: bool = False
    """Perplexity: the lowest first."""
    threshold: float = 0.9
    batch_size: int = 16
    device: str = "auto"


class Scored(NamedTuple):
    """What a method found: scores by record, and the places of those chosen, best first."""

    scores: list[dict[str, Any]]
    chosen: list[int]


class Material:
    """The records of an input, with what models say of them when it is asked for."""

    def __init__(self, request: SelectRequest, records: Sequence[Record]) -> None:
        self.request = request
        self.records = records

    @cached_property
    def model(self) -> tuple[Decoder, ChatFormatter]:
        """Raises UsageError where none is named, InputError."""
        from training.instruct.own_model import open_model

        if self.request.model is None:
            raise UsageError(
                f"--method {self.request.method} needs --model, a run or a Hugging Face folder"
            )
        return open_model(self.request.model, self.request.device)

    @cached_property
    def points(self) -> Points:
        """[N, d] embeddings: those of the file, else the model's. Raises UsageError, InputError."""
        if self.request.embeddings is not None:
            return _points(self.request.embeddings, len(self.records))
        from training.instruct.scoring import embeddings

        return embeddings(*self.model, self.conversations, self.request.batch_size)

    @property
    def conversations(self) -> list[Any]:
        """Of the records, none of which is unreadable."""
        return [record.conversation for record in self.records]


def _by_loss(material: Material, name: str) -> Scored:
    from training.instruct.scoring import answer_losses

    found = answer_losses(*material.model, material.conversations, material.request.batch_size)
    scores: list[dict[str, Any]] = []
    ranked: list[tuple[float, int]] = []
    for place, loss in enumerate(found):
        if isinstance(loss, str):
            scores.append({name: None, "not_scored": loss})
            continue
        value = loss.ifd if name == "ifd" else loss.perplexity
        shown = value if math.isfinite(value) else None
        scores.append({name: shown, "loss": loss.after_prompt, "loss_alone": loss.alone})
        # An answer that its question makes no easier does not fit the question.
        if name != "ifd" or value < 1:
            ranked.append((value if material.request.lowest else -value, place))
    return Scored(scores, [place for _, place in sorted(ranked)][: material.request.count])


def _ifd(material: Material) -> Scored:
    if material.request.lowest:
        raise UsageError("--lowest is for perplexity: ifd takes the highest below 1")
    return _by_loss(material, "ifd")


def _perplexity(material: Material) -> Scored:
    return _by_loss(material, "perplexity")


def _k_center(material: Material) -> Scored:
    chosen = k_center(material.points, material.request.count)
    scores: list[dict[str, Any]] = [{"k_center": None} for _ in material.records]
    for rank, place in enumerate(chosen, start=1):
        scores[place] = {"k_center": rank}
    return Scored(scores, chosen)


def _deita(material: Material) -> Scored:
    """Quality x complexity sorted, then those that are apart (arXiv 2312.15685, section 2.4)."""
    grades = _grades(material)
    scores: list[dict[str, Any]] = []
    ranked: list[tuple[float, int]] = []
    for place, (complexity, quality) in enumerate(grades):
        both = None if complexity is None or quality is None else complexity * quality
        scores.append({"complexity": complexity, "quality": quality, "deita": both})
        if both is not None:
            ranked.append((-both, place))
    order = [place for _, place in sorted(ranked)]
    request = material.request
    return Scored(scores, apart(material.points, order, request.count, request.threshold))


def _grades(material: Material) -> list[tuple[float | None, float | None]]:
    """Fields `complexity` and `quality` of the records, or what a model says."""
    rows = [record.row for record in material.records]
    fields = [(_number(row.get("complexity")), _number(row.get("quality"))) for row in rows]
    if all(None not in pair for pair in fields):
        return fields
    request = material.request
    if request.raters is None:
        raise UsageError(
            "--method deita: not every record has numbers in `complexity` and `quality`; give "
            "--endpoint and --name, or --rate-with-model, to have them rated"
        )
    from training.instruct.asking import Asker
    from training.instruct.budget import Account
    from training.instruct.cache import AnswerCache
    from training.instruct.config import Budget, Prices
    from training.instruct.generate import open_generator
    from training.instruct.rating import rate

    with (
        closing(open_generator(request.raters)) as raters,
        closing(AnswerCache(_beside(request.output, ANSWERS_SUFFIX))) as cache,
    ):
        return [*rate(Asker(raters, cache, Account(Budget(), Prices())), material.records)]


METHODS: Mapping[str, Callable[[Material], Scored]] = MappingProxyType(
    {"ifd": _ifd, "perplexity": _perplexity, "k_center": _k_center, "deita": _deita}
)
"""By name; each scores every record and chooses at most `count`."""


def select(request: SelectRequest) -> dict[str, Any]:
    """Write the chosen records, best first, with their scores, and F.scores.jsonl with those of
    all. Returns counts. Raises UsageError before work, InputError for a record that cannot be read
    (instruct filter takes those out), OutputError."""
    method = METHODS.get(request.method)
    if method is None:
        raise UsageError(f"--method {request.method!r} is none of {', '.join(METHODS)}")
    if request.output.resolve() == request.input.resolve():
        raise UsageError(f"--output {request.output} is the input: name another file")
    records = list(read_records([request.input], request.format))
    for record in records:
        if record.conversation is None:
            raise InputError(
                f"{record.file}: record {record.number}: {record.problem}; "
                "corpusmill instruct filter takes such records out"
            )
    scores, chosen = method(Material(request, records))
    write_lines(request.output, ({**records[n].row, "scores": scores[n]} for n in chosen))
    taken = set(chosen)
    every = (
        {"record": record.number, **score, "chosen": place in taken}
        for place, (record, score) in enumerate(zip(records, scores, strict=True))
    )
    write_lines(_beside(request.output, SCORES_SUFFIX), every)
    missed = Counter(score["not_scored"].split(",")[0] for score in scores if "not_scored" in score)
    return {
        "in": len(records),
        "chosen": len(chosen),
        "not_scored": missed.total(),
        "method": request.method,
    }


def _points(path: Path, count: int) -> Points:
    try:
        points = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"--embeddings {path}: {' '.join(str(error).split())}") from error
    if points.ndim != 2 or len(points) != count or not np.issubdtype(points.dtype, np.floating):
        raise InputError(
            f"--embeddings {path}: {points.dtype} {list(points.shape)}, and {count} rows of "
            "floating-point numbers are needed, one a record"
        )
    if not np.isfinite(points).all():
        raise InputError(f"--embeddings {path}: holds numbers that are not finite")
    return points


def _number(value: Any) -> float | None:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if fits else None


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name.removesuffix(".jsonl") + suffix)
