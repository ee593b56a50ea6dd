"""Two-digit addition learned from conversations: exact match of greedy answers to held-out pairs.

    python -m benchmarks.sft_addition                     all of the model
    python -m benchmarks.sft_addition --lora              an adapter on a model that learned to copy

Of the 10,000 pairs of numbers from 0 to 99 a tenth, drawn by hash, is held out: neither training
nor the choice of anything sees it. Sums are written from the last digit on, so that each digit
follows from what stands before it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from training.sft.config import read_sft
from training.sft.stage import sft

CONFIG = Path(__file__).with_suffix(".yaml")
HELD_OUT = 0.1


def conversation(a: int, b: int) -> dict[str, Any]:
    """The question and its answer."""
    messages = [
        {"role": "user", "content": f"{a}+{b}"},
        {"role": "assistant", "content": str(a + b)[::-1]},
    ]
    return {"messages": messages}


def is_held_out(a: int, b: int) -> bool:
    """A tenth of the pairs, whatever else is drawn."""
    digest = hashlib.sha256(f"{a}+{b}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT * 2**32


def write_pairs(folder: Path) -> tuple[Path, Path]:
    """Training and held-out conversations."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "train.jsonl", folder / "eval.jsonl"
    rows: tuple[list[str], list[str]] = ([], [])
    for a in range(100):
        for b in range(100):
            rows[is_held_out(a, b)].append(json.dumps(conversation(a, b)))
    # By hash, so that the first held-out ones are a fair sample.
    for path, lines in zip(paths, rows, strict=True):
        lines.sort(key=lambda line: hashlib.sha256(line.encode()).digest())
        path.write_text("\n".join(lines) + "\n", "utf-8")
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--set", dest="changes", action="append", default=[])
    arguments = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        train, held = write_pairs(Path(folder))
        for seed in arguments.seeds:
            changes = [
                f"output={Path(folder) / f'seed-{seed}'}",
                f"seed={seed}",
                f"data.train={train}",
                f"data.eval={held}",
                *arguments.changes,
            ]
            begin = time.perf_counter()
            outcome = sft(read_sft(CONFIG, changes))
            seconds = time.perf_counter() - begin
            final = outcome.record.final
            print(
                f"seed {seed}: exact match {final['exact_match']:.4f} of held-out pairs, "
                f"loss {final['loss']:.4f}, {outcome.record.step} steps, {seconds:.0f} s"
            )


if __name__ == "__main__":
    main()
