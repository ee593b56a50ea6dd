"""Speed of the samples of a run, how long an epoch takes to begin, and how long a step waits.

    python benchmarks/loader.py [--tokens 50000000] [--rounds 3] [--documents 10000000] [--step]

1. Random access: samples of 2,048 places with labels, positions and document numbers, one at a time
   in random order and in batches of 32, by both packings, out of five shards of random uint16 with
   lognormal lengths, page cache warm, one process, one thread. The yardstick is a slice of one
   numpy.memmap as int64, tokens alone. Readers take turns within a round; the table has the median
   of the rounds and the CPUs that were used (below 1: the machine was busy and the row means
   little). Megatron's GPTDataset, which also builds labels, masks and positions, gave 35 M tokens/s
   and its IndexedDataset 138 M (Megatron 0.16.1, the same shapes, two cores of this kind).
2. Start: seconds for the order of an epoch, by packing and number of documents (no tokens are read,
   so lengths are all there is).
3. With --step (wants torch): share of a training step of the 10m preset that waits for the loader.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.shard_readers import write_shards
from training.config import Data
from training.data.corpus import Corpus, open_corpus
from training.data.loader import Loader
from training.data.source import PACKINGS

LENGTH = 2048
BATCH = 32
SECONDS = 2.0


class Timing(NamedTuple):
    tokens_per_second: float
    cpus: float


def corpus_of(manifest: Path, packing: str, length: int = LENGTH) -> Corpus:
    data = Data.model_validate(
        {
            "manifest": str(manifest),
            "sequence_length": length,
            "packing": packing,
            "verify": "structure",
        }
    )
    return open_corpus(data, 1, manifest.parent)


def timed(read: Callable[[int], Any], places: list[int], tokens: int) -> Timing:
    begin, cpu, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begin < SECONDS:
        for place in places[done % len(places) :][:50]:
            read(place)
            done += 1
    seconds = time.perf_counter() - begin
    return Timing(done * tokens / seconds, (time.process_time() - cpu) / seconds)


def access(manifest: Path, rounds: int) -> None:
    stream = np.memmap(manifest.parent / "stream.bin", dtype=np.uint16, mode="r")

    def plain(k: int) -> np.ndarray:
        return stream[k * LENGTH : (k + 1) * LENGTH].astype(np.int64)

    readers: dict[str, tuple[Callable[[int], Any], int, int]] = {
        "plain memmap": (plain, len(stream) // LENGTH, 1)
    }
    for packing in PACKINGS:
        corpus = corpus_of(manifest, packing)
        count = corpus.samples_per_epoch
        corpus.sample(0)
        print(f"{packing}: {count:,} samples, {corpus.utilisation:.2%} of places used")
        readers[f"{packing}, one at a time"] = (corpus.sample, count, 1)
        readers[f"{packing}, batches of {BATCH}"] = (
            lambda k, corpus=corpus: corpus.samples(k * BATCH, BATCH),
            count // BATCH,
            BATCH,
        )
    found: dict[str, list[Timing]] = {name: [] for name in readers}
    for number in range(rounds):
        for name, (read, count, size) in readers.items():
            places = np.random.default_rng(number).permutation(count).tolist()
            found[name].append(timed(read, places, LENGTH * size))
    for name, timings in found.items():
        speed = statistics.median(t.tokens_per_second for t in timings)
        cpus = statistics.median(t.cpus for t in timings)
        print(f"{name:32} {speed / 1e6:8.1f} M tokens/s  {cpus:.2f} CPUs")


def start(documents: int) -> None:
    random = np.random.default_rng(1)
    lengths = (random.lognormal(6.3, 1.0, size=documents) + 1).astype(np.int32)
    reader: Any = SimpleNamespace(
        path="memory",
        total_tokens=lambda split: int(lengths.sum(dtype=np.int64)),
        lengths_tokens=lambda split: lengths,
    )
    for name, build in PACKINGS.items():
        begin = time.perf_counter()
        packing = build(reader, "train", LENGTH, True, (1, "m"))
        built = time.perf_counter()
        packing.pieces(0, 0, 1)
        first = time.perf_counter()
        packing.pieces(1, 0, 1)
        second = time.perf_counter()
        tracemalloc.start()
        again = build(reader, "train", LENGTH, True, (1, "m"))
        again.pieces(0, 0, 1)
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(
            f"{name:12} {documents:,} documents: opened in {built - begin:.2f} s, first epoch "
            f"{first - built:.2f} s, next {second - first:.2f} s; {kept / documents:.1f} bytes a "
            f"document kept, {peak / documents:.1f} at most, beside their lengths (4)"
        )


def step(manifest: Path, length: int = 512, rows: int = 8, steps: int = 8) -> None:
    import torch

    from model.decoder import Decoder
    from model.presets import preset

    torch.set_num_threads(2)
    corpus = corpus_of(manifest, "concatenate", length)
    model = Decoder(preset("10m", vocab_size=corpus.vocab_size))
    model.initialize(1)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    with Loader(corpus, 0, rows, steps) as loader:
        begin = time.perf_counter()
        for (batch,) in loader:
            optimizer.zero_grad()
            columns = [torch.from_numpy(column) for column in batch if column is not None]
            tokens, labels, positions, documents = columns
            sums = model(tokens, positions, documents, labels)
            (sums[0] / batch.targets).backward()
            optimizer.step()
        seconds = time.perf_counter() - begin
    print(
        f"{steps} steps of {rows} x {length}: {seconds:.2f} s, of which "
        f"{loader.stall_seconds * 1000:.1f} ms waiting: {loader.stall_seconds / seconds:.3%}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokens", type=int, default=50_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--documents", type=int, default=10_000_000)
    parser.add_argument("--step", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_shards(Path(folder), arguments.tokens)
        access(manifest, arguments.rounds)
        start(arguments.documents)
        if arguments.step:
            step(manifest)


if __name__ == "__main__":
    main()
