"""The benchmarks that a recipe names, read from wherever they lie."""

from __future__ import annotations

from pipelines import storage
from pipelines.names import shown
from schemas.errors import InputError, UsageError
from schemas.recipe import Benchmark, Decontamination
from stages.decontamination import BenchmarkTexts, NgramIndex, read_benchmark


def load_index(settings: Decontamination | None) -> NgramIndex | None:
    """The index of a recipe's benchmarks; None where it names none.

    Raises UsageError, in one line, for a file that is not there or is no benchmark.
    """
    if settings is None:
        return None
    return NgramIndex(settings, map(_texts, settings.benchmarks))


def _texts(benchmark: Benchmark) -> BenchmarkTexts:
    named = benchmark.model_copy(update={"file": shown(benchmark.file)})
    try:
        return read_benchmark(named, storage.read_bytes(benchmark.file))
    except InputError as error:
        raise UsageError(f"decontamination.benchmarks: {error}") from error
