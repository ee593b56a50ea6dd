"""How well a small byte-level model learns plain text in 300 steps of 16 x 128.

    python -m benchmarks.pretrain_bytes --data ../shared/data/corpus/plain_text.jsonl.gz

Target: 1.55 nats a byte or less on held-out text. One byte is one token, so `val_loss` is nats a
byte; by source it shows how much depends on the text. `--set` takes changes as `corpusmill
pretrain` does; `--seeds 3` repeats the run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from training.config import read_pretrain
from training.pretrain import pretrain

CONFIG = Path(__file__).with_suffix(".yaml")
TARGET = 1.55


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, help="JSONL with a text field")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    found = []
    for seed in range(1, arguments.seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            changes = [f"output={folder}/run", f"data.text=[{arguments.data}]", f"seed={seed}"]
            outcome = pretrain(read_pretrain(CONFIG, [*changes, *arguments.changes]))
        final = outcome.record.final
        loss = float(final["val_loss"] or 0)
        found.append(loss)
        print(f"seed {seed}: {outcome.record.parameters:,} parameters, {loss:.4f} nats a byte")
        for key, value in sorted(final.items()):
            if key.startswith("val_loss/") and isinstance(value, float):
                print(f"    {key.removeprefix('val_loss/'):32} {value:.4f}")
    median = statistics.median(found)
    verdict = "reached" if median <= TARGET else "missed"
    print(f"median {median:.4f}: target of {TARGET} {verdict}")


if __name__ == "__main__":
    main()
