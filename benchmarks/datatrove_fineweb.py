"""FineWeb's recipe in datatrove 0.10.1, one part a call; against_datatrove.py starts it.

    python benchmarks/datatrove_fineweb.py prepare --language-model FILE
    python benchmarks/datatrove_fineweb.py base    --input DIR --output DIR --workers N
                                                   --language-model FILE [--extraction-seconds S]
    python benchmarks/datatrove_fineweb.py dedup   --output DIR --workers N

Runs inside datatrove's own environment. `prepare` unpacks the URL lists and takes over the language
model, once a machine. `base` is the first executor of datatrove's
examples/fineweb.py, `dedup` its four MinHash stages and the PII formatter. English only, as FineWeb
was published. Besides what the example writes, OUTPUT/trace/ names the documents that came out of
the reader and out of the extractor, which nothing else tells. Downloads nothing.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import (
    MinhashConfig,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
    URLFilter,
)
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.pipeline.readers import JsonlReader, WarcReader
from datatrove.pipeline.writers import JsonlWriter


class PageTrafilatura(Trafilatura):
    """trafilatura with a memory of repeated segments that lasts for one page, as corpusmill has it;
    datatrove's lasts as long as its process."""

    def extract(self, text: str) -> str:
        from trafilatura.deduplication import LRUCache
        from trafilatura.settings import LRU_SIZE

        self.deduplicate = LRUCache(maxsize=LRU_SIZE)
        return super().extract(text)


def _identity(_writer: JsonlWriter, document: Document) -> dict[str, str]:
    return {"id": document.id, "url": document.metadata["url"]}


def _trace(folder: Path, name: str) -> JsonlWriter:
    return JsonlWriter(f"{folder}/trace/{name}", adapter=_identity, compression=None)


def language_filter(model: Path, exclusion_writer: JsonlWriter | None = None) -> LanguageFilter:
    """datatrove copies the model from here into its assets instead of downloading lid.176.bin."""
    language = LanguageFilter(languages=["en"], exclusion_writer=exclusion_writer)
    language.model.MODEL_URL = str(model.resolve())
    return language


def prepare(arguments: argparse.Namespace) -> None:
    """What a first run leaves in datatrove's assets."""
    URLFilter().download_data()
    language_filter(arguments.language_model).filter(Document(text="Warm up.", id="0"))


def base_pipeline(arguments: argparse.Namespace) -> list[PipelineStep]:
    """examples/fineweb.py, main_processing_executor."""
    output: Path = arguments.output

    def removed(step: str) -> JsonlWriter:
        return JsonlWriter(f"{output}/removed/{step}")

    language = language_filter(arguments.language_model, removed("language"))
    extractor = PageTrafilatura if arguments.page_deduplication else Trafilatura
    return [
        WarcReader(str(arguments.input), glob_pattern="*"),
        _trace(output, "read"),
        URLFilter(exclusion_writer=removed("url")),
        extractor(favour_precision=True, timeout=arguments.extraction_seconds),
        _trace(output, "extracted"),
        language,
        GopherRepetitionFilter(exclusion_writer=removed("gopher_repetition")),
        GopherQualityFilter(exclusion_writer=removed("gopher_quality")),
        C4QualityFilter(filter_no_terminal_punct=False, exclusion_writer=removed("c4")),
        FineWebQualityFilter(exclusion_writer=removed("fineweb")),
        JsonlWriter(f"{output}/base"),
    ]


def run_base(arguments: argparse.Namespace) -> None:
    LocalPipelineExecutor(
        pipeline=base_pipeline(arguments),
        tasks=len(list(arguments.input.iterdir())),
        workers=arguments.workers,
        logging_dir=f"{arguments.output}/logs/base",
    ).run()


def run_dedup(arguments: argparse.Namespace) -> None:
    """examples/fineweb.py, stages 1 to 4, with as many tasks as can run at once."""
    output, workers = arguments.output, arguments.workers
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8)
    reader = JsonlReader(f"{output}/base")
    minhash = f"{output}/minhash"
    stages: list[tuple[str, int, list[PipelineStep]]] = [
        ("signatures", workers, [reader, MinhashDedupSignature(f"{minhash}/signatures", config)]),
        (
            "buckets",
            config.num_buckets,
            [MinhashDedupBuckets(f"{minhash}/signatures", f"{minhash}/buckets", config=config)],
        ),
        (
            "cluster",
            1,
            [MinhashDedupCluster(f"{minhash}/buckets", f"{minhash}/remove_ids", config=config)],
        ),
        (
            "filter",
            workers,
            [
                reader,
                MinhashDedupFilter(
                    f"{minhash}/remove_ids",
                    exclusion_writer=JsonlWriter(f"{output}/removed/minhash"),
                ),
                PIIFormatter(),
                JsonlWriter(f"{output}/final"),
            ],
        ),
    ]
    for name, tasks, pipeline in stages:
        LocalPipelineExecutor(
            pipeline=pipeline,
            tasks=tasks,
            workers=min(workers, tasks),
            logging_dir=f"{output}/logs/{name}",
        ).run()


PARTS = {"prepare": prepare, "base": run_base, "dedup": run_dedup}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--input", type=Path, help="folder with nothing but the WARC files")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--language-model", type=Path)
    parser.add_argument("--extraction-seconds", type=float, default=1.0)
    parser.add_argument("--page-deduplication", action="store_true")
    arguments = parser.parse_args()
    for variable in ("HF_ASSETS_CACHE", "TLDEXTRACT_CACHE"):
        if variable not in os.environ:
            parser.error(f"set {variable} to a folder: nothing is to be taken from or left in ~")
    needed = {"prepare": ["language_model"], "dedup": ["output"]}
    for name in needed.get(arguments.part, ["input", "output", "language_model"]):
        if getattr(arguments, name) is None:
            parser.error(f"{arguments.part} needs --{name.replace('_', '-')}")
    PARTS[arguments.part](arguments)


if __name__ == "__main__":
    main()
