"""`corpusmill trace`: from a step back to pages, by the folder of the run alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.cli.main import run
from tests.builders.token_shards import numbered_documents, write_shards
from training.config import Data
from training.data.batch import IGNORED
from training.data.corpus import open_corpus
from training.tokenizers.byte_tokenizer import ByteTokenizer

LENGTHS = [7, 9, 3, 30, 12] * 4


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("trace")
    return {
        name: write_shards(folder / name, {"train": numbered_documents(LENGTHS, first=first)})
        for name, first in (("web", 1), ("code", 20_000))
    }


def write_run(folder: Path, data: dict[str, Any], **changes: Any) -> Path:
    tree = {
        "stage": "pretrain",
        "output": "elsewhere",
        "seed": 5,
        "data": {"sequence_length": 16, **data},
        "train": {"steps": 50, "batch_size": 4},
    } | changes
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    return folder


def traced(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run(["trace", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_step_is_made_of_what_is_listed(
    packing: str,
    mixed: bool,
    manifests: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if mixed:
        sources = {n: {"manifest": str(path), "weight": 1} for n, path in manifests.items()}
        data: dict[str, Any] = {"mixture": sources, "packing": packing}
    else:
        data = {"manifest": str(manifests["web"]), "packing": packing}
    folder = write_run(tmp_path / "run", data)
    found = traced(capsys, str(folder), "--step", "30")
    assert [row["sample"] for row in found["samples"]] == [116, 117, 118, 119]
    corpus = open_corpus(Data(sequence_length=16, **data), 5, tmp_path)
    batch = corpus.samples(116, 4)
    names = set()
    for row, sample in enumerate(found["samples"]):
        listed = 0
        for document in sample["documents"]:
            names.add(document["dataset"])
            source = {s.name: s for s in corpus.sources}[document["dataset"]]
            number = document["shard"] * 5 + document["position"]
            tokens = source.reader.document("train", number)
            first, end = document["document_tokens"]
            start, stop = document["sample_tokens"]
            assert batch.tokens[row, start:stop].tolist() == tokens[first:end].tolist()
            assert document["tokens"] == len(tokens)
            assert document["warc_file"] == f"{document['shard']}.warc.gz"
            assert document["warc_offset"] == 1000 * document["position"]
            assert document["url"].endswith(f"/{document['shard']}/{document['position']}")
            listed += stop - start
        if packing == "concatenate":
            assert listed == 16
        else:
            assert listed == (batch.labels[row] != IGNORED).sum()
    assert names == ({"web", "code"} if mixed else {"manifest"})


def test_a_run_over_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The shards in the folder are enough: the files may be gone."""
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"text": f"text number {n}"}) + "\n" for n in range(40)))
    folder = write_run(tmp_path / "run", {"text": [str(file)]}, tokenizer="byte")
    data = Data(sequence_length=16, text=[str(file)])
    corpus = open_corpus(data, 5, folder, tokenizer=ByteTokenizer())
    lines = file.read_bytes()
    file.unlink()
    row = traced(capsys, str(folder), "--step", "3")["samples"][0]
    for document in row["documents"]:
        assert document["warc_file"] == str(file)
        text = json.loads(lines[document["warc_offset"] :].split(b"\n")[0])["text"].encode()
        first, end = document["document_tokens"]
        start, stop = document["sample_tokens"]
        assert [*text, 256][first:end] == corpus.sample(8).tokens[0, start:stop].tolist()


def test_one_rank(
    manifests: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(write_run(tmp_path / "run", {"manifest": str(manifests["web"])}))
    whole = traced(capsys, folder, "--step", "2")["samples"]
    parts = [
        traced(capsys, folder, "--step", "2", "--rank", str(rank), "--ranks", "2")["samples"]
        for rank in range(2)
    ]
    assert parts == [whole[:2], whole[2:]]


def test_for_people(
    manifests: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "run", {"manifest": str(manifests["web"])})
    assert run(["trace", str(folder), "--step", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sample 0"
    assert "  at 0      tokens " in lines[1]
    assert "https://example.org/train/" in lines[1]
    assert ".warc.gz at " in lines[2]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--step", "51"], 2, "has 50 steps: there is no step 51"),
        (["--step", "1", "--rank", "1"], 2, "give --rank and --ranks together"),
        (["--step", "1", "--rank", "2", "--ranks", "2"], 2, "--rank 2 is none of 0 to 1"),
        (["--step", "1", "--rank", "0", "--ranks", "3"], 2, "batch_size 4 does not divide into 3"),
    ],
)
def test_wrong_numbers(
    arguments: list[str],
    code: int,
    said: str,
    manifests: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = write_run(tmp_path / "run", {"manifest": str(manifests["web"])})
    assert run(["trace", str(folder), *arguments]) == code
    assert said in capsys.readouterr().err


def test_folders_that_are_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trace", str(tmp_path), "--step", "1"]) == 1
    assert "is no training run: cannot read" in capsys.readouterr().err
    folder = write_run(tmp_path / "a", {"manifest": str(tmp_path / "gone.json")})
    assert run(["trace", str(folder), "--step", "1"]) == 1
    assert "no shard manifest at" in capsys.readouterr().err
    folder = write_run(tmp_path / "b", {"manifest": "m"}, stage="dpo")
    assert run(["trace", str(folder), "--step", "1"]) == 1
    assert "is a run of dpo" in capsys.readouterr().err
