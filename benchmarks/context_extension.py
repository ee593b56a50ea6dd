r"""Does a window hold after it was extended? Pass keys found by a small model, before and after.

    python -m benchmarks.context_extension [--seeds 3] [--steps 150] [--folder DIR]

A model of 0.15 M parameters learns, in a window of 128 tokens, texts in which a key of four digits
is hidden and asked for. Then it is asked in texts of 256 and 512 tokens: as it is; with rotations
scaled and nothing trained ("zero-shot"); and after 150 more steps on texts of up to 512 tokens with
each scaling, and with none as a control. Every run is `corpusmill pretrain` with the configuration
printed before it, every figure `corpusmill eval --task passkey`, on texts that no run saw. Three to
eight minutes a seed on one core of a shared machine.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from training.config import read_pretrain
from training.evaluation import passkey
from training.evaluation.passkey_text import FILLER, passkey_text
from training.evaluation.subject import open_subject
from training.evaluation.task import Options
from training.pretrain import pretrain

CONFIG = Path(__file__).with_suffix(".yaml")
SHORT, FACTOR, DIGITS = 128, 4, 4
LENGTHS = (SHORT, 2 * SHORT, FACTOR * SHORT)
SCALINGS = ("linear", "ntk", "yarn")
BASE_STEPS, MORE_STEPS = 600, 150
DECAY = 4 / 15
"""Share of the further steps in which the learning rate falls."""


def make_tokenizer(path: Path) -> Path:
    """Words of the texts, and digits one by one."""
    tokenizer = Tokenizer(models.BPE())
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    words = passkey_text("0123456789", 0, 2 * len(FILLER), 0.5) + " 0."
    tokenizer.train_from_iterator([words] * 10, trainer)
    tokenizer.save(str(path))
    return path


def write_texts(path: Path, tokenizer: Path, count: int, longest: int, seed: int) -> Path:
    """Texts of at most `longest` tokens with their answers, their filler of any length."""
    words = Tokenizer.from_file(str(tokenizer))
    draw = random.Random(seed)

    def text(sentences: int) -> str:
        key = "".join(draw.choice("0123456789") for _ in range(DIGITS))
        return passkey_text(key, draw.randrange(len(FILLER)), sentences, draw.random()) + f" {key}."

    most = max(n for n in range(longest) if len(words.encode(text(n)).ids) < longest)
    with path.open("w") as out:
        for _ in range(count):
            out.write(json.dumps({"text": text(draw.randint(0, most))}) + "\n")
    return path


def found(run: str, *changes: str) -> list[float]:
    """Share of keys that are found at each length: 8 texts at each of 5 depths."""
    changes = (f"max_seq_len={LENGTHS[-1]}", *changes)
    subject = open_subject(run, changes=changes)
    options = Options(lengths=LENGTHS, trials=8, digits=DIGITS, seed=1000)
    result = passkey.run(subject, options)
    return [result.value("found", f"length {length}") for length in LENGTHS]


def measure(folder: Path, seed: int, steps: int, changes: list[str]) -> dict[str, list[float]]:
    """Shares by how the model was treated."""
    tokenizer = make_tokenizer(folder / "tokenizer.json")
    short = write_texts(folder / "short.jsonl", tokenizer, 20_000, SHORT, seed)
    long = write_texts(folder / "long.jsonl", tokenizer, 3_000, LENGTHS[-1], seed)
    common = [f"seed={seed}", f"tokenizer={tokenizer}", *changes]
    base = f"{folder}/base"
    _trained([f"output={base}", f"data.text=[{short}]", f"train.steps={BASE_STEPS}", *common])
    rows = {"as it is": found(base)}
    for scaling in SCALINGS:
        zero_shot = found(base, f"rope.scaling={scaling}", f"rope.factor={FACTOR}")
        rows[f"{scaling}, zero-shot"] = zero_shot
    for scaling in ("none", *SCALINGS):
        run = f"{folder}/{scaling}"
        rope = {"theta": 300, "scaling": scaling}
        if scaling != "none":
            rope |= {"factor": FACTOR, "original_len": SHORT}
        _trained(
            [
                *(f"output={run}", f"init={base}", f"data.text=[{long}]"),
                *(f"model.max_seq_len={LENGTHS[-1]}", f"data.sequence_length={LENGTHS[-1]}"),
                *(f"model.rope={json.dumps(rope)}", f"train.steps={steps}"),
                *(
                    "train.batch_size=8",
                    "optimizer.lr=0.004",
                    f"schedule.decay_steps={round(steps * DECAY)}",
                ),
                *common,
            ]
        )
        rows[f"{scaling}, {steps} steps"] = found(run)
    return rows


def _trained(changes: list[str]) -> None:
    print("corpusmill pretrain", CONFIG, *(f"--set '{change}'" for change in changes))
    pretrain(read_pretrain(CONFIG, changes))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=MORE_STEPS, help="after the extension")
    parser.add_argument("--folder", type=Path, help="keep runs and texts here")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    arguments = parser.parse_args()
    tables: list[dict[str, Any]] = []
    for seed in range(1, arguments.seeds + 1):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) if arguments.folder is None else arguments.folder / str(seed)
            folder.mkdir(parents=True, exist_ok=True)
            tables.append(measure(folder, seed, arguments.steps, arguments.changes))
        print(f"seed {seed}: pass keys found, 40 texts a length")
        for name, shares in tables[-1].items():
            print(f"    {name:24}", *(f"{share:8.3f}" for share in shares))
    print(f"median of {len(tables)} seeds       ", *(f"{length:8}" for length in LENGTHS))
    for name in tables[0]:
        columns = zip(*(table[name] for table in tables), strict=True)
        print(f"    {name:24}", *(f"{statistics.median(column):8.3f}" for column in columns))


if __name__ == "__main__":
    main()
