"""What is asked of a record by itself: lengths, words, language, benchmarks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from schemas.errors import InputError, UsageError
from schemas.recipe import Benchmark, Decontamination, Language
from schemas.verdict import Rejection
from stages.decontamination import BenchmarkTexts, NgramIndex, read_benchmark
from stages.language import LanguageIdentifier, check_language, model_path, validate_labels
from training.instruct.filter_config import FilterConfig, Lengths
from training.instruct.records import Record

Rule = Callable[[Record], Rejection | None]


def rules_of(config: FilterConfig, index: NgramIndex | None) -> list[Rule]:
    """The rules that a configuration asks for, cheap ones first. Raises UsageError or InputError
    for a language or model that is not there."""
    return [rule for rule in _all(config, index) if rule is not None]


def _all(config: FilterConfig, index: NgramIndex | None) -> Iterator[Rule | None]:
    yield _lengths(config.lengths)
    yield _keywords("prompt", config.prompt_keywords)
    yield _keywords("answer", config.answer_keywords)
    yield _language(config.language)
    yield _decontamination(config.decontamination, index)


def _lengths(settings: Lengths) -> Rule:
    def check(record: Record) -> Rejection | None:
        for part, text, least, most in (
            ("prompt", record.prompt, settings.min_prompt_words, settings.max_prompt_words),
            ("answer", record.answers, settings.min_answer_words, settings.max_answer_words),
        ):
            words = len(text.split())
            if words < least:
                return Rejection("length", f"length.{part}_min", words, least)
            if most is not None and words > most:
                return Rejection("length", f"length.{part}_max", words, most)
        return None

    return check


def _keywords(part: str, keywords: tuple[str, ...]) -> Rule | None:
    if not keywords:
        return None
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, keywords))})(?!\w)", re.IGNORECASE)

    def check(record: Record) -> Rejection | None:
        # In what is said: words of a tool's arguments are no manner of speaking.
        assert record.conversation is not None
        wanted = "user" if part == "prompt" else "assistant"
        for message in record.conversation.messages:
            found = pattern.search(message.content) if message.role == wanted else None
            if found:
                return Rejection("keyword", f"keyword.{part}", None, None, detail=found.group())
        return None

    return check


def _language(settings: Language | None) -> Rule | None:
    if settings is None:
        return None
    identifier = LanguageIdentifier(model_path(settings.model))
    validate_labels(settings, identifier.labels)

    def check(record: Record) -> Rejection | None:
        return check_language(*identifier.top(record.text), settings)

    return check


def _decontamination(settings: Decontamination | None, index: NgramIndex | None) -> Rule | None:
    if settings is None or index is None:
        return None

    def check(record: Record) -> Rejection | None:
        match = index.find(record.text)
        if match is None:
            return None
        return Rejection(
            "decontamination",
            f"decontamination.{match.benchmark}",
            match.share,
            settings.share,
            detail=f"record {match.record}: {match.ngram}",
        )

    return check


def load_index(settings: Decontamination | None) -> NgramIndex | None:
    """The index of local benchmark files. Raises UsageError in one line for one that is not there
    or is no benchmark."""
    return None if settings is None else NgramIndex(settings, map(_texts, settings.benchmarks))


def _texts(benchmark: Benchmark) -> BenchmarkTexts:
    try:
        return read_benchmark(benchmark, Path(benchmark.file).read_bytes())
    except OSError as error:
        raise UsageError(
            f"decontamination.benchmarks: {benchmark.file}: {error.strerror or error}"
        ) from error
    except InputError as error:
        raise UsageError(f"decontamination.benchmarks: {error}") from error
