"""`corpusmill sft` under torchrun: several ranks train what one does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("torch")

from tests.builders.conversations import config, tree
from tests.builders.pretraining import losses, metrics
from training.sft.stage import sft

REPOSITORY = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-c", "from pipelines.cli import main; main()", "sft"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python"]


def on_ranks(folder: Path, ranks: int, **changed: Any) -> str:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree(folder, **changed)))
    done = subprocess.run(
        [*TORCHRUN, "--nproc-per-node", str(ranks), *COMMAND, str(path)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parallel", "data", "more"),
    [
        ({"dp_shard": 2}, {}, {}),
        ({"dp_replicate": 2}, {"packing": "best_fit"}, {"optimizer": {"ema": 0.5}}),
        ({"tp": 2}, {}, {"neftune_alpha": 5.0, "optimizer": {"ema": 0.5}}),
        ({"cp": 2}, {"packing": "best_fit"}, {}),
        ({"cp": 2}, {}, {}),
        ({"pp": 2, "pp_microbatches": 2}, {"group_by_length": True}, {}),
    ],
    ids=["dp_shard", "dp_replicate_ema", "tp_noise_ema", "cp_packed", "cp", "pp_grouped"],
)
def test_ranks_train_what_one_process_does(
    tmp_path: Path, parallel: dict[str, int], data: dict[str, Any], more: dict[str, Any]
) -> None:
    changes: dict[str, Any] = {
        "data": tree(tmp_path)["data"] | data,
        "model": {"preset": "debug", "n_layers": 2, "dim": 32, "max_seq_len": 64},
        "eval": {"every": 3, "max_new_tokens": 6},
        **more,
    }
    sft(config(tmp_path, output=str(tmp_path / "alone"), **changes))
    out = on_ranks(tmp_path, 2, parallel=parallel, **changes)
    assert out.count("finished after step 6 of 6") == 1
    one, several = metrics(tmp_path / "alone"), metrics(tmp_path / "run")
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "alone"), abs=1e-5)
    for key in ("grad_norm", "val_loss", "exact_match"):
        expected = [row[key] for row in one if key in row]
        assert [row[key] for row in several if key in row] == pytest.approx(expected, abs=2e-5)
    assert [row["tokens"] for row in one] == [row["tokens"] for row in several]


@pytest.mark.slow
def test_an_error_is_one_line_on_several_ranks(tmp_path: Path) -> None:
    settings = tree(tmp_path)
    with open(settings["data"]["train"], "a") as handle:
        handle.write('{"messages": [{"role": "user", "content": 5}]}\n')
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings))
    done = subprocess.run(
        [*TORCHRUN, "--nproc-per-node", "2", *COMMAND, str(path)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode != 0
    assert done.stderr.count("record 41: messages[0].content") == 1
