"""Speed of ShardReader on samples of 2,049 tokens, against a plain memory map and datatrove.

    python benchmarks/shard_readers.py [--tokens 50000000] [--rounds 3]

Writes random uint16 shards (page cache warm after that) and reads the same samples with each
reader, in random order and in sequence, one process. Every reader hands over int64, which is what
an embedding takes. The yardstick is a slice of one numpy.memmap over one file; ShardReader can be
faster, because slicing a plain array over the map costs less than slicing a numpy.memmap. Readers
take turns within a round, so that a slow spell of the machine hits all; the table gives the median
of the rounds, the ratio to the yardstick as the median of ratios within a round, and the CPUs that
were used (below 1: the machine was busy and the row means little).

datatrove's DatatroveFileDataset and Megatron's IndexedDataset are added where they import (both
want torch; megatron_reads.py says how to install them).
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from schemas.shards import ShardChecksums, ShardEntry, ShardManifestV1, TokenizerFile
from stages.tokens.megatron import ShardWriter
from training.data.shards import ShardReader

SAMPLE_TOKENS = 2049
VOCABULARY = 32_000
EOS = 2
SHARDS = 5

Read = Callable[[int], np.ndarray]


class Timing(NamedTuple):
    tokens_per_second: float
    cpus: float


def write_shards(folder: Path, tokens: int) -> Path:
    random = np.random.default_rng(1)
    entries = []
    stream = folder / "stream.bin"
    (folder / "train").mkdir()
    with stream.open("wb") as plain:
        for number in range(SHARDS):
            left = tokens // SHARDS
            name = f"train/shard-{number:05d}"
            with ShardWriter(folder / name, "uint16") as writer:
                while left:
                    length = min(left, int(random.lognormal(6.3, 1.0)) + 1)
                    document = random.integers(3, VOCABULARY, size=length, dtype=np.uint16)
                    document[-1] = EOS
                    writer.write(document)
                    plain.write(document.tobytes())
                    left -= length
            done = writer.close()
            checksums = ShardChecksums(bin=done.bin_sha256, idx=done.idx_sha256)
            entries.append(
                ShardEntry(
                    path=name, split="train", docs=done.docs, tokens=done.tokens, sha256=checksums
                )
            )
    (folder / "tokenizer.model").write_bytes(b"none")
    digest = hashlib.sha256(b"none").hexdigest()
    manifest = ShardManifestV1(
        tokenizer=TokenizerFile(file="tokenizer.model", sha256=digest),
        vocab_size=VOCABULARY,
        eos_id=EOS,
        dtype="uint16",
        shards=entries,
        recipe_hash="",
        fingerprint=ShardManifestV1.fingerprint_of(digest, VOCABULARY, EOS, "uint16", entries),
    )
    path = folder / "manifest.json"
    path.write_text(manifest.to_json(), encoding="utf-8")
    return path


def plain_memmap(folder: Path) -> Read:
    data = np.memmap(folder / "stream.bin", dtype=np.uint16, mode="r")

    def read(sample: int) -> np.ndarray:
        start = sample * SAMPLE_TOKENS
        return data[start : start + SAMPLE_TOKENS].astype(np.int64)

    return read


def ours(folder: Path) -> Read:
    reader = ShardReader(folder / "manifest.json", verify=False)

    def read(sample: int) -> np.ndarray:
        return reader.tokens("train", sample * SAMPLE_TOKENS, SAMPLE_TOKENS).astype(np.int64)

    return read


def ours_with_document(folder: Path) -> Read:
    """Also looks up which document the sample begins in."""
    reader = ShardReader(folder / "manifest.json", verify=False)

    def read(sample: int) -> np.ndarray:
        start = sample * SAMPLE_TOKENS
        reader.document_at("train", start)
        return reader.tokens("train", start, SAMPLE_TOKENS).astype(np.int64)

    return read


def datatrove(folder: Path) -> Read:
    from datatrove.utils.dataset import DatatroveFileDataset

    data = DatatroveFileDataset(str(folder / "stream.bin"), SAMPLE_TOKENS - 1, token_size=2)
    return lambda sample: data[sample]["input_ids"].numpy()


def megatron(folder: Path) -> Read:
    """One document a call, joined to samples here; the place to start comes from our index."""
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    reader = ShardReader(folder / "manifest.json", verify=False)
    shards = [IndexedDataset(str(folder / entry.path)) for entry in reader.manifest.shards]
    ends = np.cumsum([entry.docs for entry in reader.manifest.shards])

    def read(sample: int) -> np.ndarray:
        start = sample * SAMPLE_TOKENS
        document, offset = reader.document_at("train", start)
        parts, missing = [], SAMPLE_TOKENS
        while missing:
            number = int(np.searchsorted(ends, document, side="right"))
            place = document - (int(ends[number - 1]) if number else 0)
            rest = int(shards[number].sequence_lengths[place]) - offset
            part = shards[number].get(place, offset=offset, length=min(rest, missing))
            parts.append(part)
            missing -= len(part)
            document, offset = document + 1, 0
        return np.concatenate(parts).astype(np.int64)

    return read


READERS: dict[str, Callable[[Path], Read]] = {
    "plain memmap": plain_memmap,
    "ShardReader.tokens": ours,
    "ShardReader.tokens + document_at": ours_with_document,
    "datatrove DatatroveFileDataset": datatrove,
    "Megatron IndexedDataset, joined": megatron,
}


def timed(read: Read, samples: list[int]) -> Timing:
    started, cpu = time.perf_counter(), time.process_time()
    for sample in samples:
        read(sample)
    seconds = time.perf_counter() - started
    used = (time.process_time() - cpu) / seconds
    return Timing(len(samples) * SAMPLE_TOKENS / seconds, used)


def available(folder: Path) -> dict[str, Read]:
    readers = {}
    for name, build in READERS.items():
        try:
            readers[name] = build(folder)
        except ImportError as error:
            print(f"{name}: left out ({error})")
    return readers


def report(readers: dict[str, Read], samples: dict[str, list[int]], rounds: int) -> None:
    timings: dict[tuple[str, str], list[Timing]] = {}
    for _ in range(rounds):
        for order, chosen in samples.items():
            for name, read in readers.items():
                timings.setdefault((order, name), []).append(timed(read, chosen))
    print(
        f"{'reader':36}{'order':10}{'M tokens/s':>11}{'us/sample':>11}{'of plain':>10}{'CPUs':>6}"
    )
    first = next(iter(readers))
    for (order, name), values in timings.items():
        speed = statistics.median(value.tokens_per_second for value in values)
        share = statistics.median(
            value.tokens_per_second / base.tokens_per_second
            for value, base in zip(values, timings[order, first], strict=True)
        )
        cpus = statistics.median(value.cpus for value in values)
        microseconds = SAMPLE_TOKENS / speed * 1e6
        print(f"{name:36}{order:10}{speed / 1e6:11.0f}{microseconds:11.2f}{share:10.2f}{cpus:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tokens", type=int, default=50_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.perf_counter()
        manifest = write_shards(folder, options.tokens)
        print(f"written (with random tokens made) in {time.perf_counter() - started:.1f} s")
        for verify in (False, True):
            started = time.perf_counter()
            documents = len(ShardReader(manifest, verify=verify))
            seconds = time.perf_counter() - started
            print(f"opened {documents} documents with verify={verify} in {seconds * 1e3:.1f} ms")
        readers = available(folder)
        total = options.tokens // SHARDS * SHARDS // SAMPLE_TOKENS
        shuffled = np.random.default_rng(2).permutation(total).tolist()
        for name, read in readers.items():
            for sample in (0, total // 2, total - 1, *shuffled[:200]):
                if not np.array_equal(read(sample), readers["plain memmap"](sample)):
                    sys.exit(f"{name} reads sample {sample} differently")
        report(readers, {"random": shuffled, "in order": list(range(total))}, options.rounds)


if __name__ == "__main__":
    main()
