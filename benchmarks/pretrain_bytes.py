r"""How well a small byte-level model learns plain text in 300 steps of 16 x 128.

    python -m benchmarks.pretrain_bytes --data ../shared/data/corpus/plain_text.jsonl.gz \
        --source debian-reference-en

Target: 1.55 nats a byte or less on held-out text. One byte is one token, so `val_loss` is nats a
byte. 300 steps see 614 kB: what can be reached depends on the text more than on the model. English
documentation, of which that is nearly all there is, reaches the target; ten languages at once do
not (2.48 with one seed, 1.83 on their English documentation). `--set` takes changes as `corpusmill
pretrain` does; `--seeds 3` repeats the run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import tempfile
from pathlib import Path

from training.config import read_pretrain
from training.pretrain import pretrain

CONFIG = Path(__file__).with_suffix(".yaml")
TARGET = 1.55


def chosen(data: str, source: str, target: Path) -> None:
    """Copy the lines whose `source` begins with `source`."""
    opened = gzip.open(data, "rt") if data.endswith(".gz") else open(data)  # noqa: SIM115
    with opened as lines, target.open("w") as out:
        out.writelines(x for x in lines if str(json.loads(x).get("source", "")).startswith(source))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", required=True, help="JSONL with a text field")
    parser.add_argument("--source", default="", help="only sources that begin like this")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    found = []
    for seed in range(1, arguments.seeds + 1):
        with tempfile.TemporaryDirectory() as folder:
            text = Path(folder) / "text.jsonl"
            chosen(arguments.data, arguments.source, text)
            changes = [f"output={folder}/run", f"data.text=[{text}]", f"seed={seed}"]
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
