"""Two-digit addition learned from conversations: exact match of greedy answers to held-out pairs.

    python -m benchmarks.sft_addition              from random weights
    python -m benchmarks.sft_addition --lora       an adapter on a model that learned to subtract

Of the 10,000 pairs of numbers from 0 to 99 a tenth, drawn by hash, is held out: no training sees
it. The adapter's alpha and learning rate were chosen on seeds 1 to 3. Sums are written from the
last digit on, so that each digit follows from what stands before it.

With --lora a model first learns differences (100 + a - b, of the same pairs); from it, all weights
and an adapter of rank 2 learn sums, with the same data and steps.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from pathlib import Path

import torch

from training.sft.config import read_sft
from training.sft.stage import sft

CONFIG = Path(__file__).with_suffix(".yaml")
HELD_OUT = 0.1
LORA = ("lora={rank: 2, alpha: 8}", "optimizer.name=adamw", "optimizer.lr=0.005")


def conversation(question: str, answer: int) -> str:
    """A record: the answer is written from its last digit on."""
    messages = [
        {"role": "user", "content": question},
        {"role": "assistant", "content": str(answer)[::-1]},
    ]
    return json.dumps({"messages": messages})


def is_held_out(a: int, b: int) -> bool:
    """A tenth of the pairs, whatever else is drawn."""
    digest = hashlib.sha256(f"{a}+{b}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT * 2**32


def write_pairs(folder: Path) -> dict[str, Path]:
    """Conversations: sums to train on and held out, and differences."""
    rows: dict[str, list[str]] = {"train": [], "held_out": [], "differences": []}
    for a in range(100):
        for b in range(100):
            held = is_held_out(a, b)
            rows["held_out" if held else "train"].append(conversation(f"{a}+{b}", a + b))
            if not held:
                rows["differences"].append(conversation(f"{a}-{b}", 100 + a - b))
    paths = {name: folder / f"{name}.jsonl" for name in rows}
    for name, lines in rows.items():
        # By hash, so that the first held-out ones are a fair sample.
        lines.sort(key=lambda line: hashlib.sha256(line.encode()).digest())
        paths[name].write_text("\n".join(lines) + "\n", "utf-8")
    return paths


def learn(title: str, changes: list[str]) -> float:
    """Train, say what came of it, and return the exact match."""
    begin = time.perf_counter()
    outcome = sft(read_sft(CONFIG, changes))
    seconds = time.perf_counter() - begin
    record = outcome.record
    found = float(record.final["exact_match"] or 0)
    trained = record.trained_parameters or record.parameters
    print(
        f"{title}: exact match {found:.4f}, loss {record.final['loss']:.4f}, {trained:,} of "
        f"{record.parameters:,} parameters trained ({trained / record.parameters:.1%}), "
        f"{record.step} steps, {seconds:.0f} s"
    )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--lora", action="store_true")
    parser.add_argument("--set", dest="changes", action="append", default=[])
    arguments = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_pairs(folder)
        sums = [f"data.train={paths['train']}", f"data.eval={paths['held_out']}"]
        for seed in arguments.seeds:
            shared = [f"seed={seed}", *arguments.changes]
            if not arguments.lora:
                learn(f"seed {seed}, all weights", [f"output={folder}/{seed}", *sums, *shared])
                continue
            base = folder / f"{seed}-base"
            other = [f"data.train={paths['differences']}", f"data.eval={paths['differences']}"]
            learn(f"seed {seed}, differences", [f"output={base}", *other, *shared])
            start = [*sums, *shared, f"init={base}", "tokenizer=null", "model=null"]
            whole = learn(f"seed {seed}, all weights", [f"output={base}-whole", *start])
            adapter = learn(f"seed {seed}, adapter", [f"output={base}-lora", *start, *LORA])
            print(f"seed {seed}: adapter {adapter - whole:+.4f} against all weights")


if __name__ == "__main__":
    main()
