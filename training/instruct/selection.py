"""`corpusmill instruct select`: the driver and its methods."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from schemas.errors import InputError, UsageError
from training.instruct.asking import Asker
from training.instruct.budget import Account
from training.instruct.cache import AnswerCache
from training.instruct.config import RaterConfig
from training.instruct.diversity import Points, apart, k_center
from training.instruct.json_lines import file_in_the_way, write_lines
from training.instruct.rating import ASPECTS, Grade, rate
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
    raters: RaterConfig | None = None
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
        self.rating: dict[str, Any] | None = None
        """Requests, tokens and cost, where a model rated."""

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
    """Quality x complexity sorted, then those that are apart (arXiv 2312.15685, section 3)."""
    scores: list[dict[str, Any]] = []
    ranked: list[tuple[float, int]] = []
    for place, found in enumerate(_grades(material)):
        values = {aspect: grade.value for aspect, grade in found.items()}
        missing = [f"{name}: {grade.missing}" for name, grade in found.items() if grade.missing]
        if missing:
            scores.append({**values, "deita": None, "not_scored": ", ".join(missing)})
            continue
        both = math.prod(value for value in values.values() if value is not None)
        if not math.isfinite(both):
            scores.append({**values, "deita": None, "not_scored": "deita: grades too large"})
            continue
        scores.append({**values, "deita": both})
        ranked.append((-both, place))
    order = [place for _, place in sorted(ranked)]
    request = material.request
    return Scored(scores, apart(material.points, order, request.count, request.threshold))


def _grades(material: Material) -> list[dict[str, Grade]]:
    """Fields `complexity` and `quality` of the records, and where one is missing what a model
    says, by name."""
    found: list[dict[str, Grade]] = [
        {name: Grade(_number(record.row.get(name))) for name in ASPECTS}
        for record in material.records
    ]
    missing = [
        (place, name)
        for place, grades in enumerate(found)
        for name, grade in grades.items()
        if grade.value is None
    ]
    if not missing:
        return found
    request = material.request
    if request.raters is None:
        raise UsageError(
            f"--method deita: record {material.records[missing[0][0]].number} has no number in "
            f"`{missing[0][1]}`; give --endpoint and --name, --rate-with-model, or --raters, to "
            "have such records rated"
        )
    from training.instruct.generate import open_generator

    with (
        closing(open_generator(request.raters.model)) as raters,
        closing(AnswerCache(_beside(request.output, ANSWERS_SUFFIX))) as cache,
    ):
        account = Account(request.raters.budget, request.raters.prices, cache.answers())
        with closing(Asker(raters, cache, account)) as asker:
            asked = [(name, material.records[place]) for place, name in missing]
            for (place, name), grade in zip(missing, rate(asker, asked), strict=True):
                found[place][name] = grade
        material.rating = account.summary()
    return found


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
    _check_output(request)
    records = list(read_records([request.input], request.format))
    for record in records:
        if record.conversation is None:
            raise InputError(
                f"{record.file}: record {record.number}: {record.problem}; "
                "corpusmill instruct filter takes such records out"
            )
    material = Material(request, records)
    scores, chosen = method(material)
    write_lines(request.output, ({**records[n].row, "scores": scores[n]} for n in chosen))
    taken = set(chosen)
    every = (
        {"record": record.number, **score, "chosen": place in taken}
        for place, (record, score) in enumerate(zip(records, scores, strict=True))
    )
    write_lines(_beside(request.output, SCORES_SUFFIX), every)
    return {
        "in": len(records),
        "chosen": len(chosen),
        "not_scored": sum("not_scored" in score for score in scores),
        "method": request.method,
        **({} if material.rating is None else {"rating": material.rating}),
    }


def _check_output(request: SelectRequest) -> None:
    output, input = request.output, request.input.resolve()
    if output.resolve() == input:
        raise UsageError(f"--output {output} is the input: name another file")
    for suffix in (SCORES_SUFFIX, ANSWERS_SUFFIX):
        if _beside(output, suffix).resolve() == input:
            raise UsageError(f"--output {output} would write over the input: name another file")
    if output.is_dir():
        raise UsageError(f"--output: {output} is a folder: name a file")
    file = file_in_the_way(output.parent)
    if file is not None:
        raise UsageError(f"--output: {file} is a file, not a folder; name another")


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
    """A grade of a record, of whatever scale."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name.removesuffix(".gz").removesuffix(".jsonl") + suffix)
