"""JSONL files as shards of a run."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.errors import InputError, OutputError, UsageError
from schemas.recipe import Tokenizer as TokenizerSettings
from stages.tokens import Tokenizer, train_sentencepiece
from stages.tokens.megatron import TokenArray
from training.config import Data
from training.data.corpus import Corpus, open_corpus
from training.data.shards import ShardReader, check
from training.data.text import text_report
from training.tokenizers import load_tokenizer
from training.tokenizers.byte_tokenizer import ByteTokenizer


class Bytes(ByteTokenizer):
    """Counts what it encodes."""

    def __init__(self) -> None:
        self.encoded = 0

    def encode(self, text: str) -> TokenArray:
        self.encoded += 1
        return super().encode(text)


def write_lines(path: Path, lines: list[Any]) -> Path:
    content = b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def records(count: int) -> list[dict[str, Any]]:
    return [{"text": f"document number {n} ünd so on", "id": f"d{n}"} for n in range(count)]


def opened(output: Path, files: list[Path], tokenizer: Any = None, **changes: Any) -> Corpus:
    leader = changes.pop("leader", True)
    file = changes.pop("tokenizer_file", None)
    keys = {"text": [str(path) for path in files], "sequence_length": 16} | changes
    return open_corpus(
        Data.model_validate(keys),
        1,
        output,
        tokenizer=tokenizer or Bytes(),
        tokenizer_file=file,
        leader=leader,
    )


def test_documents_and_where_they_came_from(tmp_path: Path) -> None:
    lines = [*records(60), {"text": "with a source", "source": "wiki", "url": "https://a.b/c"}]
    one = write_lines(tmp_path / "one.jsonl", lines)
    two = write_lines(tmp_path / "two.jsonl.gz", [b"", {"text": "packed"}])
    corpus = opened(tmp_path / "run", [one, two], validation_fraction=0.3)
    reader = ShardReader(tmp_path / "run/data/manifest.json", verify=True)
    assert corpus.sources[0].reader.manifest == reader.manifest
    assert (corpus.vocab_size, corpus.eos_id) == (257, 256)
    assert isinstance(load_tokenizer(corpus.tokenizer_file), ByteTokenizer)
    assert check(tmp_path / "run/data/manifest.json") == []
    found = {}
    for split in ("train", "validation"):
        count = reader.total_documents(split)
        for number, origin in enumerate(reader.trace_all(split, range(count))):
            tokens = reader.document(split, number)
            assert tokens[-1] == 256
            found[bytes(tokens[:-1].tolist()).decode()] = origin
    assert sorted(found) == sorted([line["text"] for line in lines] + ["packed"])
    origin = found["with a source"]
    assert (origin.source, origin.url) == ("wiki", "https://a.b/c")
    with one.open("rb") as handle:
        handle.seek(origin.warc_offset)
        assert json.loads(handle.readline())["text"] == "with a source"
    assert (found["packed"].source, found["packed"].warc_offset) == ("two.jsonl.gz", 1)
    assert found["packed"].warc_file == str(two)
    # Of 62 documents 3 in 10, to four standard deviations.
    assert abs(reader.total_documents("validation") - 18.6) < 14.5
    assert text_report(tmp_path / "run/data") is None


def test_the_split_of_a_document_does_not_depend_on_the_others(tmp_path: Path) -> None:
    def validation(name: str, lines: list[Any]) -> set[str]:
        opened(tmp_path / name, [write_lines(tmp_path / f"{name}.jsonl", lines)])
        reader = ShardReader(tmp_path / name / "data/manifest.json")
        count = reader.total_documents("validation")
        return {origin.id for origin in reader.trace_all("validation", range(count))}

    few, many = validation("few", records(100)), validation("many", records(300)[::-1])
    assert few == {id for id in many if int(id[1:]) < 100}
    assert few


def test_shards_are_kept_while_nothing_changed(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", records(50))
    first = opened(tmp_path / "run", [path])
    again = Bytes()
    os.utime(path, (0, 0))
    assert opened(tmp_path / "run", [path], again).fingerprint == first.fingerprint
    assert again.encoded == 0
    assert opened(tmp_path / "run", [path], again, leader=False).fingerprint == first.fingerprint
    assert opened(tmp_path / "other", [path]).fingerprint == first.fingerprint

    write_lines(path, records(51))
    assert opened(tmp_path / "run", [path], again).fingerprint != first.fingerprint
    assert again.encoded == 51
    assert opened(tmp_path / "run", [path], again, validation_fraction=0.5)
    assert again.encoded == 102
    (tmp_path / "run/data/manifest.json").unlink()
    opened(tmp_path / "run", [path], again, validation_fraction=0.5)
    assert again.encoded == 153, "a run that was killed before the manifest begins anew"


def test_a_sentencepiece_model(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", records(50))
    model = tmp_path / "my.model"
    train_sentencepiece(["some text and numbers"], model, TokenizerSettings(vocab_size=300))
    tokenizer = Tokenizer.load(model)
    corpus = opened(tmp_path / "run", [path], tokenizer, tokenizer_file=model)
    assert corpus.tokenizer_file == tmp_path / "run/data/tokenizer.model"
    assert check(tmp_path / "run/data/manifest.json") == []
    reader = corpus.sources[0].reader
    assert reader.manifest.tokenizer.sha256 == tokenizer.sha256
    assert tokenizer.decode(reader.document("train", 0)).startswith("document number")


def test_a_tokenizer_json(tmp_path: Path) -> None:
    """What names its EOS is copied, too, so that the copy is the same tokenizer."""
    tokenizers = pytest.importorskip("tokenizers")
    built = tokenizers.Tokenizer(tokenizers.models.BPE())
    built.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    built.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["[END]"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
    )
    built.train_from_iterator(["some text and numbers"], trainer)
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    built.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "[END]"}))
    tokenizer = load_tokenizer(folder)
    path = write_lines(tmp_path / "a.jsonl", records(50))
    corpus = opened(tmp_path / "run", [path], tokenizer, tokenizer_file=folder)
    assert corpus.eos_id == tokenizer.eos_id
    assert check(tmp_path / "run/data/manifest.json") == []
    copy = load_tokenizer(corpus.tokenizer_file)
    tokens = corpus.sources[0].reader.document("train", 0)
    assert copy.decode(tokens) == tokenizer.decode(tokens)
    assert copy.decode(tokens).strip().startswith("document number")


def test_bad_lines_are_counted_and_named(tmp_path: Path) -> None:
    bad = [b"{not json", {"txt": "x"}, {"text": 3}, {"text": ""}, [1], b'{"text": "\\ud800"}']
    path = write_lines(tmp_path / "a.jsonl", [*records(30), *bad, b"\xff", b"  "])
    opened(tmp_path / "run", [path])
    assert text_report(tmp_path / "run/data") == (
        f"7 of 37 lines were left out; not JSON: 2 (first {path}:31), no text: 3 (first {path}:32),"
        f" no JSON object: 1 (first {path}:35), text with lone surrogates: 1 (first {path}:36)"
    )


def test_what_a_tokenizer_refuses_is_a_bad_line(tmp_path: Path) -> None:
    class Picky(Bytes):
        def encode(self, text: str) -> TokenArray:
            if "7" in text:
                raise InputError("no sevens")
            return super().encode(text)

    path = write_lines(tmp_path / "a.jsonl", records(20))
    opened(tmp_path / "run", [path], Picky())
    report = text_report(tmp_path / "run/data")
    assert report == f"2 of 20 lines were left out; no sevens: 2 (first {path}:8)"


def test_files_that_hold_nothing(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"txt": "x"}, b"{"])
    with pytest.raises(InputError, match=r"none of 2 lines .* text, .*a.jsonl:1 first: no text"):
        opened(tmp_path / "run", [path])
    assert not (tmp_path / "run/data/manifest.json").exists()
    with pytest.raises(InputError, match=r"cannot read .*nowhere.jsonl: No such file"):
        opened(tmp_path / "run", [tmp_path / "nowhere.jsonl"])
    path.write_bytes(b"")
    with pytest.raises(InputError, match="none of 0 lines"):
        opened(tmp_path / "run", [path])
    with pytest.raises(InputError, match=r"all 1 documents fall into the validation split"):
        path = write_lines(tmp_path / "b.jsonl", [{"text": "alone"}])
        opened(tmp_path / "run", [path], validation_fraction=0.9999999)


def test_a_damaged_archive(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl.gz", records(2000))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"data.text: cannot read .*a.jsonl.gz: "):
        opened(tmp_path / "run", [path])
    assert list((tmp_path / "run").rglob("*.tmp")) == []


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", records(20))
    mine = tmp_path / "run/data/precious.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(OutputError, match="holds files that no run wrote"):
        opened(tmp_path / "run", [path])
    assert mine.read_text() == "mine"


def test_text_needs_a_tokenizer_and_a_leader(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", records(20))
    data = Data(text=[str(path)], sequence_length=16)
    with pytest.raises(UsageError, match="data.text needs a tokenizer"):
        open_corpus(data, 1, tmp_path)
    with pytest.raises(InputError, match="no shard manifest at .*run/data/manifest.json"):
        opened(tmp_path / "run", [path], leader=False)


def test_many_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.text._SHARD_TOKENS", 200)
    monkeypatch.setattr("training.data.text._ROWS", 7)
    path = write_lines(tmp_path / "a.jsonl", records(40))
    corpus = opened(tmp_path / "run", [path])
    reader = corpus.sources[0].reader
    assert len(reader.manifest.shards) > 4
    tokens = np.concatenate(list(reader.documents("train")))
    assert len(tokens) == reader.total_tokens("train")
    origins = reader.trace_all("train", range(reader.total_documents("train")))
    assert [int(origin.id[1:]) for origin in origins] == sorted(int(o.id[1:]) for o in origins)
