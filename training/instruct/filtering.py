"""`corpusmill instruct filter`: the driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from schemas.errors import OutputError, ReconcileError, UsageError
from schemas.verdict import Rejection
from training.instruct.duplicates import Found, exact_copies, like_prompts, near_copies
from training.instruct.filter_config import FilterConfig
from training.instruct.json_lines import file_in_the_way, write_lines
from training.instruct.records import Record, read_records
from training.instruct.rules import Rule, load_index, rules_of

KEPT, REJECTED, ERRORS, SUMMARY = "kept.jsonl", "rejected.jsonl", "errors.jsonl", "summary.json"


def filter_records(
    inputs: Sequence[str | Path], output: str | Path, config: FilterConfig
) -> dict[str, Any]:
    """Write kept.jsonl (rows as they were), rejected.jsonl, errors.jsonl and summary.json.

    Records are held in memory. Returns the summary, in which in = kept + rejected + errors. Raises
    UsageError before work, InputError for a file that cannot be read, OutputError.
    """
    folder = Path(output)
    _check_output(folder, inputs)
    index = load_index(config.decontamination)
    rules = rules_of(config, index)
    _forget_summary(folder)
    kept, rejected, errors = _by_itself(read_records(inputs, config.format), rules)
    count = len(kept) + len(rejected) + len(errors)
    for found in _searches(config):
        kept, gone = _split(kept, found(kept))
        rejected += gone
    place = {str(Path(path)): at for at, path in enumerate(inputs)}
    rejected.sort(key=lambda pair: (place[pair[0].file], pair[0].number))
    summary = {
        "in": count,
        "kept": len(kept),
        "rejected": len(rejected),
        "errors": len(errors),
        "rules": dict(Counter(reason.rule for _, reason in rejected).most_common()),
        "benchmarks": [size._asdict() for size in index.sizes] if index is not None else [],
        "inputs": [str(path) for path in inputs],
        "config": config.model_dump(mode="json"),
    }
    if count != len(kept) + len(rejected) + len(errors):
        raise ReconcileError(f"{count} records were read, but not as many accounted for")
    write_lines(folder / KEPT, (record.row for record in kept))
    write_lines(folder / REJECTED, (_rejected_row(*pair) for pair in rejected))
    write_lines(folder / ERRORS, map(_error_row, errors))
    write_lines(folder / SUMMARY, [summary])
    return summary


def _by_itself(
    records: Iterable[Record], rules: Sequence[Rule]
) -> tuple[list[Record], list[tuple[Record, Rejection]], list[Record]]:
    kept, rejected, errors = [], [], []
    for record in records:
        if record.conversation is None:
            errors.append(record)
            continue
        reason = next((found for rule in rules if (found := rule(record)) is not None), None)
        if reason is None:
            kept.append(record)
        else:
            rejected.append((record, reason))
    return kept, rejected, errors


def _searches(config: FilterConfig) -> Iterable[Any]:
    """Searches among all records, in order."""
    if config.exact:
        yield exact_copies
    if config.minhash is not None:
        minhash = config.minhash
        yield lambda records: near_copies(records, minhash)
    if config.rouge_l is not None:
        threshold = config.rouge_l
        yield lambda records: like_prompts(records, threshold)


def _split(
    records: Sequence[Record], found: Found
) -> tuple[list[Record], list[tuple[Record, Rejection]]]:
    stays = [record for place, record in enumerate(records) if place not in found]
    return stays, [(records[place], reason) for place, reason in found.items()]


def _rejected_row(record: Record, reason: Rejection) -> dict[str, Any]:
    return {
        "file": record.file,
        "record": record.number,
        "rule": reason.rule,
        "value": reason.value,
        "threshold": reason.threshold,
        "detail": reason.detail,
        "row": record.row,
    }


def _error_row(record: Record) -> dict[str, Any]:
    return {
        "file": record.file,
        "record": record.number,
        "error": record.problem,
        "row": record.row,
    }


def _forget_summary(folder: Path) -> None:
    """A run that fails shall not leave the numbers of one before it."""
    try:
        (folder / SUMMARY).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder / SUMMARY}: {error.strerror or error}") from error


def _check_output(folder: Path, inputs: Sequence[str | Path]) -> None:
    if not inputs:
        raise UsageError("no input: name files of records")
    places = [Path(path).resolve() for path in inputs]
    for name, place in zip(map(str, inputs), places, strict=True):
        if places.count(place) > 1:
            raise UsageError(f"{name} is given twice")
        if Path(name).resolve().parent == folder.resolve():
            raise UsageError(f"--output {folder} holds the input {name}: name another folder")
    names = [KEPT, REJECTED, ERRORS, SUMMARY]
    ours = {*names, *(f".{name}.part" for name in names)}
    file = file_in_the_way(folder)
    if file is not None:
        raise UsageError(f"--output: {file} is a file, not a folder; name another")
    try:
        foreign = (
            sorted(e.name for e in folder.iterdir() if e.name not in ours)
            if folder.exists()
            else []
        )
    except OSError as error:
        raise OutputError(f"--output {folder}: {error.strerror or error}") from error
    if foreign:
        raise UsageError(
            f"--output {folder} holds {foreign[0]}, which no filter left: name another"
        )
