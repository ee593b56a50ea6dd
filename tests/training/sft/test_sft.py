"""Fine-tuning on one process: what a run leaves, learns, refuses and repeats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from model import load_pretrained
from schemas.errors import InputError, UsageError
from tests.builders.conversations import chat, config, sums, tree, write_records
from tests.builders.pretraining import losses, metrics, steps_saved
from training.sft.config import check_sft
from training.sft.stage import sft


def test_a_run_leaves_its_files(tmp_path: Path) -> None:
    outcome = sft(config(tmp_path, eval={"every": 3, "max_new_tokens": 8}))
    run = tmp_path / "run"
    rows = metrics(run)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows if "val_loss" in row] == [3, 6]
    assert [row["step"] for row in rows if "exact_match" in row] == [3, 6]
    assert (run / "tokenizer" / "chat_template.jinja").exists()
    assert steps_saved(run) == [4, 6]
    asked = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    assert {"step", "prompt", "text", "expected"} == asked[0].keys()
    assert len(asked) == 12
    record = json.loads((run / "run.json").read_text())
    assert (record["stage"], record["state"], record["step"]) == ("sft", "finished", 6)
    assert outcome.signal is None
    # Only answers are learned: 1 to 5 letters and EOS each.
    assert 4 * 2 <= rows[0]["tokens"] <= 4 * 6


def test_a_run_learns_by_heart(tmp_path: Path) -> None:
    records = [chat(f"name {n}", f"{n * 37 % 101}") for n in range(12)]
    write_records(tmp_path / "train.jsonl", records)
    write_records(tmp_path / "eval.jsonl", records)
    changes: dict[str, Any] = {
        "model": {"preset": "debug", "n_layers": 2, "dim": 64},
        "optimizer": {"name": "muon", "lr": 1e-2, "weight_decay": 0.0},
        "train": {"steps": 60, "batch_size": 12, "log_every": 100},
        "checkpoint": {"every": 100},
        "validation": {"every": 100},
    }
    outcome = sft(config(tmp_path, eval={"every": 100, "max_new_tokens": 6}, **changes))
    assert outcome.record.final["exact_match"] == 1.0
    again = {**changes, "output": str(tmp_path / "again")}
    outcome = sft(config(tmp_path, eval={"every": 100, "metric": "accuracy"}, **again))
    assert outcome.record.final["accuracy"] == 1.0
    assert load_pretrained(tmp_path / "run").config.dim == 64


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"packing": "best_fit"},
        {"group_by_length": True},
        {"train_on": "all"},
    ],
    ids=["apart", "packed", "grouped", "all"],
)
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path: Path, data: dict[str, Any]) -> None:
    base = tree(tmp_path)["data"]
    changes: dict[str, Any] = {"data": base | data, "neftune_alpha": 5.0}
    changes["schedule"] = {"name": "constant"}
    sft(config(tmp_path, output=str(tmp_path / "whole"), **changes))
    sft(config(tmp_path, train={"steps": 2}, **changes))
    sft(config(tmp_path, **changes))
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


def test_packing_gives_the_gradients_of_separate_rows(tmp_path: Path) -> None:
    """All conversations in one step: the loss and the norm depend on neither rows nor padding."""
    found = []
    for name, data, size in (
        ("apart", {}, 40),
        ("micro", {}, 40),
        ("packed", {"packing": "best_fit"}, None),
    ):
        base = tree(tmp_path)["data"] | data | {"sequence_length": 128}
        rows = size or packed_rows(tmp_path, base)
        train = {"steps": 1, "batch_size": rows, "accumulation": 8 if name == "micro" else 1}
        settings = {"data": base, "train": train, "output": str(tmp_path / name)}
        sft(config(tmp_path, model={"max_seq_len": 128}, **settings))
        row = metrics(tmp_path / name)[0]
        found.append((row["loss"], row["grad_norm"]))
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5)


def packed_rows(folder: Path, data: dict[str, Any]) -> int:
    """Rows of an epoch, as a run says them."""
    probe = folder / "probe"
    settings = {"data": data, "train": {"steps": 1, "batch_size": 1}, "output": str(probe)}
    sft(config(folder, model={"max_seq_len": 128}, **settings))
    from training.sft.encoded import EncodedConversations
    from training.sft.order import Packed

    held = EncodedConversations(probe / "data" / "train")
    return Packed(held, data["sequence_length"], (1, "train")).samples_per_epoch


def test_starting_from_a_run_takes_its_tokenizer_and_template(tmp_path: Path) -> None:
    sft(config(tmp_path))
    data = {k: v for k, v in tree(tmp_path)["data"].items() if k != "template"}
    second = tree(tmp_path, output=str(tmp_path / "second"), init=str(tmp_path / "run"))
    second["data"] = data
    del second["model"], second["tokenizer"]
    sft(check_sft(second, "config"))
    first = (tmp_path / "run" / "tokenizer" / "chat_template.jinja").read_text()
    assert (tmp_path / "second" / "tokenizer" / "chat_template.jinja").read_text() == first


def test_tasks_are_learned_in_their_stages(tmp_path: Path) -> None:
    tree(tmp_path)
    write_records(tmp_path / "special.jsonl", sums(10, first=50))
    data = {
        "train": {
            "special": str(tmp_path / "special.jsonl"),
            "general": {"files": str(tmp_path / "train.jsonl"), "weight": 30},
        },
        "strategy": {"name": "two_stage", "general": ["general"], "kept_share": 0.25},
        "template": "plain",
        "sequence_length": 32,
    }
    settings = tree(tmp_path)
    settings["data"] = data
    outcome = sft(check_sft(settings, "config"))
    assert outcome.record.step == 6
    with pytest.raises(InputError, match="the run was started with other data"):
        settings["train"]["steps"] = 8
        sft(check_sft(settings, "config"))


def test_a_bad_record_is_one_line_with_its_number_and_field(tmp_path: Path) -> None:
    settings = config(tmp_path)
    bad = {"messages": [{"role": "user", "content": "q"}, {"role": "bot", "content": "a"}]}
    write_records(tmp_path / "train.jsonl", [*sums(16), bad])
    with pytest.raises(InputError) as raised:
        sft(settings)
    line = str(raised.value)
    assert "train.jsonl: record 17: messages[1].role: 'bot'" in line
    assert "\n" not in line
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_nothing_to_learn_is_an_error_that_says_where_to_look(tmp_path: Path) -> None:
    settings = config(tmp_path)
    write_records(tmp_path / "train.jsonl", [chat("q", ""), chat("q")])
    with pytest.raises(
        InputError, match=r"none of 2 conversations can be trained on; .*dropped.jsonl says why"
    ):
        sft(settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"train": {}}}, "train: names no task"),
        ({"data": {"train": []}}, "data.train: a file, a list of files, or tasks by name"),
        ({"data": {"train": 5}}, "data.train: a file, a list of files, or tasks by name"),
        ({"data": {"train": {"text": "f.jsonl"}}}, "'text' cannot be the name of a task"),
        ({"data": {"format": "nope"}}, "data.format: none of messages, sharegpt, alpaca"),
        ({"data": {"strategy": {"general": ["train"]}}}, "strategy.general: has no effect"),
        ({"data": {"train": {"a b": "f.jsonl"}}}, "'a b' cannot be the name of a task"),
        ({"data": {"strategy": "two_stage"}}, "two_stage needs strategy.general"),
        (
            {"data": {"strategy": {"name": "two_stage", "general": ["x"]}}},
            "'x' is none of the tasks of train: train",
        ),
        ({"data": {"packing": "best_fit", "group_by_length": True}}, "packed rows are all full"),
        ({"data": {"eval": None}, "eval": {"every": 1}}, "eval: needs data.eval"),
        ({"neftune": 5}, "unknown key neftune; did you mean neftune_alpha?"),
    ],
)
def test_wrong_keys(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        check_sft(tree(tmp_path, **changes), "c.yaml")
    assert message in str(raised.value)


def test_rows_have_to_fit_the_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data.sequence_length: 32 exceed .* max_seq_len of 16"):
        sft(config(tmp_path, model={"max_seq_len": 16}))


def test_held_out_conversations_have_to_be_there(tmp_path: Path) -> None:
    settings = config(tmp_path)
    write_records(tmp_path / "eval.jsonl", [chat("q", "")])
    with pytest.raises(InputError, match=r"data.eval: .*none of 1 conversations"):
        sft(settings)


def test_packed_tasks_share_rows_by_their_rows(tmp_path: Path) -> None:
    """By default each task comes as often as it would alone, whatever its conversations' length."""
    tree(tmp_path)
    long = [chat(f"{n:02}", "x" * 26) for n in range(30)]
    write_records(tmp_path / "long.jsonl", long)
    write_records(tmp_path / "short.jsonl", [chat(f"{n:02}", "y") for n in range(30)])
    settings = tree(tmp_path, train={"steps": 2, "batch_size": 20})
    settings["data"] |= {
        "packing": "best_fit",
        "train": {name: str(tmp_path / f"{name}.jsonl") for name in ("long", "short")},
    }
    sft(check_sft(settings, "config"))
    # 30 rows of long ones, 4 of short ones: 40 rows are 1.18 epochs of both.
    learned = metrics(tmp_path / "run")[-1]["tokens"]
    assert learned == pytest.approx(40 / 34 * (30 * 27 + 30 * 2), rel=0.03)


def test_a_tokenizer_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tokenizer: missing"):
        sft(config(tmp_path, tokenizer=None))


def test_questions_without_room_for_an_answer_are_left_out_with_a_notice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = config(tmp_path, eval={"every": 3, "max_new_tokens": 50})
    write_records(tmp_path / "eval.jsonl", [*sums(3), chat("q" * 25, "a")])
    sft(settings)
    told = " ".join(capsys.readouterr().err.split())
    assert "eval: 1 of 4 questions are left out" in told
    rows = [json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").open()]
    assert sum(row["step"] == 6 for row in rows) == 3
    write_records(tmp_path / "eval.jsonl", [chat("q" * 25, "a")])
    with pytest.raises(InputError, match=r"eval\.jsonl: nothing to ask for eval"):
        sft(config(tmp_path, output=str(tmp_path / "other"), eval=settings.eval))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"neftune_alpha": float("inf")}, "neftune_alpha"),
        ({"lora": {"alpha": float("inf")}}, "lora.alpha"),
        ({"optimizer": {"lr": float("inf")}}, "optimizer.lr"),
        (
            {"data": {"train": {"a": {"files": "a.jsonl", "weight": float("inf")}}}},
            "data.train.a.weight",
        ),
    ],
)
def test_infinite_numbers_are_refused(tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(UsageError, match=f"c.yaml: {key}: .*finite number"):
        check_sft(tree(tmp_path, **changes), "c.yaml")
