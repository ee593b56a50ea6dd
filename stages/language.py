"""Language of a text by fastText, and the two decisions that rest on it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import InputError, UsageError
from schemas.recipe import Language, LanguageGate
from schemas.verdict import GateSample, Rejection
from stages.fasttext_file import check_model_file

LABEL_PREFIX = "__label__"
PACKAGED = {"lid.176": "lid.176.ftz"}
"""Names a recipe may use -> file in stages/models."""

GATE_MIN_CHARS = 200
"""Raw text shorter than this (white space collapsed) passes the gate: a language guess on it is
poor, and pages whose text sits in scripts (JSON-LD) show little else."""

GATE_START_CHARS = 1000
"""Characters of the raw text that a sample keeps to show: the 500 of a rejected row, and 500 more
so that personal data at the cut is seen whole."""


def model_path(name_or_path: str) -> Path:
    """The file of a model named in a recipe: `lid.176` (packaged) or a path.

    Raises InputError when it is missing, not a fastText model of labels, or cut short.
    """
    packaged = PACKAGED.get(name_or_path)
    path = Path(__file__).parent / "models" / packaged if packaged else Path(name_or_path)
    if not path.is_file():
        raise InputError(
            f"language.model {name_or_path}: no such file; "
            f"give the path of a fastText model, or one of: {', '.join(PACKAGED)}"
        )
    check_model_file(path)
    return path


class LanguageIdentifier:
    """A supervised fastText model. Load it once a process; calls leave no trace in it.

    Labels come without `__label__`, otherwise as the model has them: `en` from lid.176,
    `eng_Latn` from GlotLID. Raises InputError for a file that is no such model.
    """

    def __init__(self, path: Path) -> None:
        import fasttext

        check_model_file(path)
        self._path = path
        try:
            self._model = fasttext.load_model(str(path))
        except (ValueError, RuntimeError, MemoryError) as error:
            raise InputError(f"fastText cannot load {path}: {error}") from error
        labels = self._model.get_labels()
        self.labels: tuple[str, ...] = tuple(label.removeprefix(LABEL_PREFIX) for label in labels)

    def __reduce__(self) -> tuple[type[LanguageIdentifier], tuple[Path]]:
        """fastText models cannot be pickled: another process loads the file again."""
        return type(self), (self._path,)

    def top(self, text: str) -> tuple[str, float]:
        """The most probable label and its probability in [0, 1]; ("", 0.0) for blank text."""
        line = _one_line(text)
        if not line:
            return "", 0.0
        labels, scores = self._model.predict(line, k=1)
        if not labels:
            return "", 0.0
        return labels[0].removeprefix(LABEL_PREFIX), _clip(float(scores[0]))

    def probabilities(self, text: str) -> dict[str, float]:
        """Probability in [0, 1] of every label that fastText does not round to nothing.

        fastText drops labels below about 0.00001; read a missing label as 0. Empty for blank
        text.
        """
        line = _one_line(text)
        if not line:
            return {}
        labels, scores = self._model.predict(line, k=-1)
        return {
            label.removeprefix(LABEL_PREFIX): _clip(float(score))
            for label, score in zip(labels, scores, strict=True)
        }


def _one_line(text: str) -> str:
    """fastText reads to the first newline and takes NUL for a blank; it refuses surrogates."""
    line = text.replace("\n", " ").replace("\0", " ").strip()
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        return line.encode("utf-8", "replace").decode("utf-8")
    return line


def _clip(score: float) -> float:
    """fastText adds 0.00001 inside its logarithms, so its scores may pass 1."""
    return min(max(score, 0.0), 1.0)


def validate_labels(settings: Language, labels: Sequence[str]) -> None:
    """Check that the model knows every label of `keep`. Raises UsageError, naming near ones.

    A label such as `eng` or `EN` would otherwise drop every document without a word.
    """
    for label in settings.keep or {}:
        if label not in labels:
            near = difflib.get_close_matches(label, labels, n=5, cutoff=0.5)
            hint = f"did you mean {', '.join(near)}" if near else f"for example {labels[0]}"
            raise UsageError(
                f"language.keep: {settings.model} has no label {label!r} "
                f"among its {len(labels)}; {hint}?"
            )


def check_language(label: str, score: float, settings: Language) -> Rejection | None:
    """Turn down an unwanted language, or a wanted one that the model is not sure enough of.

    Blank text has the label "" and the score 0. FineWeb compares with >, RefinedWeb and the
    FineWeb paper with >= (reference/curation.md B): `inclusive` says which.
    """
    threshold = settings.threshold
    if settings.keep is not None:
        if label not in settings.keep:
            return Rejection("language", "language.unwanted", score, None, detail=label)
        threshold = settings.keep[label]
    if score > threshold or (settings.inclusive and score == threshold):
        return None
    return Rejection("language", "language.score", score, threshold, detail=label)


def _middle(length: int, characters: int) -> int:
    """Where a window of `characters` from the middle of a text of `length` begins."""
    return max(0, (length - characters) // 2)


def gate_sample(raw_text: str, characters: int) -> GateSample:
    """What a gate that looks at up to `characters` characters needs of a raw text."""
    text = " ".join(raw_text.split())
    begin = _middle(len(text), characters)
    middle = text[begin : begin + characters]
    return GateSample(len(text), middle, raw_text[:GATE_START_CHARS])


def check_gate(
    raw_text: str, identifier: LanguageIdentifier, settings: Language, gate: LanguageGate
) -> Rejection | None:
    """Turn down a page, before extraction, whose raw text is hardly in any wanted language.

    Looks at `gate.characters` characters from the middle (the start is menus). Passes when every
    language is wanted and when there is less than GATE_MIN_CHARS to look at.
    """
    if settings.keep is None:
        return None
    return check_gate_sample(gate_sample(raw_text, gate.characters), identifier, settings, gate)


def check_gate_sample(
    sample: GateSample, identifier: LanguageIdentifier, settings: Language, gate: LanguageGate
) -> Rejection | None:
    """As check_gate, on a sample of at least `gate.characters` characters."""
    if settings.keep is None or sample.characters < GATE_MIN_CHARS:
        return None
    held = _middle(sample.characters, max(gate.characters, len(sample.middle)))
    begin = _middle(sample.characters, gate.characters) - held
    probabilities = identifier.probabilities(sample.middle[begin : begin + gate.characters])
    wanted = min(1.0, sum(probabilities.get(label, 0.0) for label in settings.keep))
    if wanted >= gate.min_probability:
        return None
    return Rejection("gate", "gate.language", wanted, gate.min_probability)
