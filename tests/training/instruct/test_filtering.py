"""Rules over records: what goes, why, and that all is accounted for."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.main import run as corpusmill
from schemas.errors import InputError, UsageError
from training.chat.reading import read_conversations
from training.instruct.filter_config import FilterConfig, read_filter
from training.instruct.filtering import filter_records

STORY = (
    "The harbour of the old town was built by people who had come over the sea, and for a hundred "
    "years every ship that passed the cape paid them a fee in salt, wool or silver."
)


def chat(prompt: str, answer: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": answer},
        ]
    }


def write(path: Path, *rows: Any) -> Path:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("".join(line + "\n" for line in lines))
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def reasons(output: Path) -> dict[int, str]:
    return {row["record"]: row["rule"] for row in rows(output / "rejected.jsonl")}


def test_each_rule_and_the_account(tmp_path: Path) -> None:
    source = write(
        tmp_path / "a.jsonl",
        chat("Tell me about the harbour.", STORY),
        chat("Tell me about the harbour.", f"  {STORY}"),
        chat("Tell me about the harbour!", STORY.replace("wool", "grain")),
        chat("Draw a picture of a kite.", "Here it is, in words of my own."),
        chat("Name a river.", "As an AI language model I have no rivers."),
        chat("Name.", "The Elbe is a river."),
        chat("Name a long river.", ""),
        "{broken",
        chat("Erzähle mir vom Hafen der alten Stadt.", "Der Hafen wurde vor langer Zeit gebaut."),
        {"messages": [{"role": "bot", "content": "x"}]},
        chat("Name a river of the north.", "The Elbe flows into the North Sea near Cuxhaven."),
    )
    config = FilterConfig.model_validate(
        {
            "lengths": {"min_prompt_words": 2},
            "prompt_keywords": ["picture"],
            "answer_keywords": ["as an AI language model"],
            "language": {"keep": {"en": 0.4}},
        }
    )
    output = tmp_path / "out"
    summary = filter_records([source], output, config)
    assert reasons(output) == {
        2: "dedup.exact",
        3: "dedup.minhash",
        4: "keyword.prompt",
        5: "keyword.answer",
        6: "length.prompt_min",
        7: "length.answer_min",
        9: "language.unwanted",
    }
    assert [row["record"] for row in rows(output / "errors.jsonl")] == [8, 10]
    lines = source.read_text().splitlines()
    assert rows(output / "kept.jsonl") == [json.loads(lines[0]), json.loads(lines[10])]
    counted = [summary[name] for name in ("in", "kept", "rejected", "errors")]
    assert counted == [11, 2, 7, 2]
    assert summary["rules"]["dedup.exact"] == 1
    assert rows(output / "rejected.jsonl")[0]["detail"] == f"{source} record 1"


def test_rouge_l_over_prompts(tmp_path: Path) -> None:
    source = write(
        tmp_path / "a.jsonl",
        chat("Name ten rivers of the wide world", "Elbe and so on"),
        chat("Name ten rivers of the whole wide world", "Nile and others besides"),
        chat("Translate this sentence", "Bitte"),
    )
    config = FilterConfig(rouge_l=0.7, minhash=None)
    filter_records([source], tmp_path / "out", config)
    assert reasons(tmp_path / "out") == {2: "dedup.rouge_l"}


def test_formats_and_gzip(tmp_path: Path) -> None:
    alpaca = tmp_path / "a.json"
    alpaca.write_text(json.dumps([{"instruction": "Say hello.", "input": "", "output": "Hello."}]))
    summary = filter_records([alpaca], tmp_path / "one", FilterConfig(format="alpaca"))
    assert (summary["in"], summary["kept"]) == (1, 1)
    shared = tmp_path / "b.jsonl.gz"
    turns = [{"from": "human", "value": "Say hello."}, {"from": "gpt", "value": "Hello."}]
    with gzip.open(shared, "wt") as lines:
        lines.write(json.dumps({"conversations": turns}) + "\n")
    summary = filter_records([shared], tmp_path / "two", FilterConfig(format="sharegpt"))
    assert (summary["in"], summary["kept"]) == (1, 1)
    assert rows(tmp_path / "two/kept.jsonl") == [{"conversations": turns}]


def test_wrong_usage_is_found_before_work(tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", chat("a b", "c"))
    with pytest.raises(UsageError, match="holds the input"):
        filter_records([source], tmp_path, FilterConfig())
    with pytest.raises(UsageError, match="given twice"):
        filter_records([source, source], tmp_path / "out", FilterConfig())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        filter_records([source], tmp_path / "mine", FilterConfig())
    with pytest.raises(InputError, match="cannot be read"):
        filter_records([tmp_path / "none.jsonl"], tmp_path / "out", FilterConfig())
    with pytest.raises(UsageError, match=r"unknown key minhsh; did you mean minhash"):
        read_filter(None, ["minhsh=null"])
    with pytest.raises(UsageError, match=r"no label 'english'"):
        filter_records(
            [source], tmp_path / "out", read_filter(None, ["language.keep={english: 0.5}"])
        )


def test_elements_of_a_list_that_are_no_objects_are_errors(tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    source.write_text(json.dumps([chat("Say hello", "Hello"), "chatter", None]))
    summary = filter_records([source], tmp_path / "out", FilterConfig())
    assert [summary[name] for name in ("in", "kept", "errors")] == [3, 1, 2]
    errors = rows(tmp_path / "out/errors.jsonl")
    assert [(row["record"], row["row"]) for row in errors] == [(2, "chatter"), (3, None)]
    assert errors[0]["error"] == "is not a JSON object"


def test_a_list_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    source.write_text("\ufeff" + json.dumps([chat("Say hello", "Hello"), chat("Count", "1")]))
    assert filter_records([source], tmp_path / "out", FilterConfig())["kept"] == 2
    assert len(list(read_conversations(source, "messages"))) == 2


def test_lines_in_a_json_file_are_as_in_a_jsonl_file(tmp_path: Path) -> None:
    source = write(tmp_path / "a.json", chat("Say hello", "Hello"), "{broken", chat("Count", "1"))
    summary = filter_records([source], tmp_path / "out", FilterConfig())
    assert [summary[name] for name in ("in", "kept", "errors")] == [3, 2, 1]


def test_inputs_may_be_strings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.jsonl", chat("Say hello", "Hello"), chat("Say hello", ""))
    summary = filter_records(["./a.jsonl"], "out", FilterConfig())
    assert summary["rules"] == {"length.answer_min": 1}
    with pytest.raises(UsageError, match="given twice"):
        filter_records([str(tmp_path / "a.jsonl"), "a.jsonl"], "out", FilterConfig())


@pytest.mark.parametrize("output", ["taken", "taken/below"])
def test_an_output_that_is_a_file_is_found_before_work(output: str, tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", chat("a b", "c"))
    (tmp_path / "taken").write_text("x")
    with pytest.raises(UsageError, match=r"--output: .*taken is a file, not a folder"):
        filter_records([source], tmp_path / output, FilterConfig())


def test_a_failed_run_shows_no_summary_of_one_before(tmp_path: Path) -> None:
    source, output = write(tmp_path / "a.jsonl", chat("a b", "c")), tmp_path / "out"
    filter_records([source], output, FilterConfig())
    (output / ".kept.jsonl.part").write_text("of a run that was killed")
    with pytest.raises(InputError, match="cannot be read"):
        filter_records([source, tmp_path / "none.jsonl"], output, FilterConfig())
    assert not (output / "summary.json").exists()


def test_the_command_says_which_package_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "a.jsonl", chat("a b", "c"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert corpusmill(["instruct", "filter", str(source), "--output", str(tmp_path / "out")]) == 2
    assert "pip install 'corpusmill[train]'" in capsys.readouterr().err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = write(tmp_path / "quiz.jsonl", {"question": STORY})
    source = write(tmp_path / "a.jsonl", chat("Tell a story", STORY), chat("Say hello", "Hello"))
    line = ["instruct", "filter", str(source), "--output", str(tmp_path / "out"), "--json"]
    assert corpusmill([*line, "--set", f"decontamination.benchmarks=[{benchmark}]"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["rules"] == {"decontamination.quiz": 1}
    assert summary["benchmarks"][0]["records"] == 1
    assert corpusmill([*line, "--set", "decontamination.benchmarks=[none.jsonl]"]) == 2
    assert "decontamination.benchmarks: none.jsonl" in capsys.readouterr().err


def test_gsm8k_questions_are_found_among_real_records(shared_data: Path, tmp_path: Path) -> None:
    benchmark = shared_data / "benchmarks/gsm8k_test.jsonl.gz"
    with gzip.open(benchmark, "rt") as lines:
        planted = [json.loads(line) for line in lines][:5]
    with gzip.open(shared_data / "train/alpaca_en_demo.jsonl.gz", "rt") as lines:
        real = [json.loads(line) for line in lines][:200]
    leaked = [
        {"instruction": f"Solve: {row['question']}", "input": "", "output": row["answer"]}
        for row in planted
    ]
    source = write(tmp_path / "a.jsonl", *real, *leaked)
    config = FilterConfig.model_validate(
        {
            "format": "alpaca",
            "decontamination": {"benchmarks": [str(benchmark)], "ngram": 8, "share": 0.5},
        }
    )
    summary = filter_records([source], tmp_path / "out", config)
    assert summary["rules"]["decontamination.gsm8k_test"] == 5
    found = {n for n, rule in reasons(tmp_path / "out").items() if "decontamination" in rule}
    assert found == set(range(201, 206))
    assert summary["in"] == 205
