"""Text that a benchmark holds, too: n-grams of words that documents share with its records."""

from __future__ import annotations

from stages.decontamination.benchmarks import BenchmarkText, BenchmarkTexts, read_benchmark
from stages.decontamination.index import BenchmarkSize, Match, NgramIndex

__all__ = [
    "BenchmarkSize",
    "BenchmarkText",
    "BenchmarkTexts",
    "Match",
    "NgramIndex",
    "read_benchmark",
]
