"""A hundred real conversations by heart: the loss of fine-tuning, and the answers given greedily.

    python -m benchmarks.sft_overfit --data ../shared/data/train/alpaca_en_demo.jsonl.gz

Takes the first 100 records whose question and answer have at most 250 bytes. They are trained on
and asked, so this shows that answers, their ends and their masks are learned as they stand.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from training.sft.config import read_sft
from training.sft.stage import sft

CONFIG = Path(__file__).with_suffix(".yaml")
COUNT = 100
BYTES_MAX = 250


def short(path: Path) -> Iterator[str]:
    """The lines of short records."""
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        for line in handle:
            row = json.loads(line)
            texts = (row["instruction"], row.get("input", ""), row["output"])
            if row["output"].strip() and sum(len(text.encode()) for text in texts) <= BYTES_MAX:
                yield line


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="Alpaca records, gzipped JSONL.")
    parser.add_argument("--set", dest="changes", action="append", default=[])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = Path(folder) / "train.jsonl"
        lines = [line for line, _ in zip(short(arguments.data), range(COUNT), strict=False)]
        chosen.write_text("".join(lines), "utf-8")
        changes = [f"output={Path(folder) / 'run'}", f"data.train={chosen}", f"data.eval={chosen}"]
        begin = time.perf_counter()
        outcome = sft(read_sft(CONFIG, [*changes, *arguments.changes]))
        seconds = time.perf_counter() - begin
    final = outcome.record.final
    print(
        f"{len(lines)} conversations: loss {final['val_loss']:.4f} of all of them, exact match "
        f"{final['exact_match']:.2f}, {outcome.record.step} steps, {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
