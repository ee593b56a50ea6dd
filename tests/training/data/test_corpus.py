"""A run's samples: mixtures, fingerprints, what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.errors import InputError, UsageError
from tests.builders.token_shards import numbered_documents, write_shards
from training.config import Data
from training.data.corpus import Corpus, open_corpus
from training.data.state import DataState


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("manifests")
    return {
        "web": write_shards(folder / "web", {"train": numbered_documents([7, 9, 3, 30, 12] * 8)}),
        "code": write_shards(
            folder / "code", {"train": numbered_documents([5, 40, 2, 8], first=20_000)}
        ),
    }


def mixed(manifests: dict[str, Path], seed: int = 1, **changes: Any) -> Corpus:
    mixture = {
        "web": {"manifest": str(manifests["web"]), "weight": 7},
        "code": {"manifest": str(manifests["code"]), "weight": 3},
    }
    keys = {"mixture": mixture, "sequence_length": 8} | changes
    return open_corpus(Data.model_validate(keys), seed, "unused")


@pytest.mark.parametrize("packing", ["concatenate", "best_fit"])
def test_samples_of_a_mixture(manifests: dict[str, Path], packing: str) -> None:
    corpus = mixed(manifests, packing=packing)
    batch = corpus.samples(0, 100)
    assert batch.tokens.shape == (100, 8)
    is_code = (batch.tokens >= 20_000).any(axis=1) | (batch.labels >= 20_000).any(axis=1)
    assert is_code.sum() == 30
    for k in range(100):
        alone = corpus.sample(k)
        assert all(
            np.array_equal(a, b)  # type: ignore[arg-type]
            for a, b in zip(alone, batch.part(k, k + 1), strict=True)
        )
        documents = corpus.documents_of(k)
        assert {d.source for d in documents} == {"code" if is_code[k] else "web"}
        assert sum(d.length for d in documents) <= 8
        for d in documents:
            of = {s.name: s for s in corpus.sources}[d.source]
            tokens = of.reader.document("train", d.document)[d.first : d.first + d.length]
            assert batch.tokens[k, d.at : d.at + d.length].tolist() == tokens.tolist()


def test_a_source_goes_through_its_own_epochs(manifests: dict[str, Path]) -> None:
    corpus = mixed(manifests)
    code = corpus.sources[0]
    assert code.name == "code"
    samples = 10 * code.samples_per_epoch
    epochs = corpus.epochs(samples)
    assert epochs["code"] == pytest.approx(3.0, abs=2 / code.samples_per_epoch)
    assert epochs["web"] < epochs["code"]
    corpus.check_epochs(samples)


def test_too_many_epochs_are_refused_before_the_start(manifests: dict[str, Path]) -> None:
    mixture = {
        name: {"manifest": str(path), "weight": 1, "epochs_max": 2}
        for name, path in manifests.items()
    }
    data = Data.model_validate({"mixture": mixture, "sequence_length": 8})
    once = open_corpus(data, 1, "unused").sources[0].samples_per_epoch
    open_corpus(data, 1, "unused", samples=4 * once)
    wrong = r"data.mixture.code: 40 samples .* pass through it 3\.\d\d times, epochs_max is 2;"
    with pytest.raises(UsageError, match=wrong):
        open_corpus(data, 1, "unused", samples=40)


def test_the_order_of_the_file_does_not_count(manifests: dict[str, Path]) -> None:
    mixture = {
        "code": {"manifest": str(manifests["code"]), "weight": 0.3},
        "web": {"manifest": str(manifests["web"]), "weight": 0.7},
    }
    one, other = mixed(manifests), mixed(manifests, mixture=mixture)
    assert one.fingerprint == other.fingerprint
    assert one.samples(0, 50).tokens.tolist() == other.samples(0, 50).tokens.tolist()


def test_state_goes_through_json(manifests: dict[str, Path]) -> None:
    corpus = mixed(manifests)
    state = corpus.state(2 * corpus.samples_per_epoch + 1)
    assert (state.epoch, state.samples) == (2, 2 * corpus.samples_per_epoch + 1)
    assert DataState.from_json(state.to_json()) == state
    mixed(manifests).check_state(state)
    with pytest.raises(InputError, match="data state of the checkpoint is malformed"):
        DataState.from_json({"fingerprint": "0"})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sequence_length": 9}, "sequence_length was 8, is 9"),
        ({"packing": "best_fit"}, "packing was concatenate, is best_fit"),
        ({"document_mask": False}, "document_mask was True, is False"),
        ({"seed": 2}, "seed was 1, is 2"),
        ({"mixture": {"web": ("web", 7), "code": ("code", 7)}}, "sources.code.share was 3/10, is"),
        ({"mixture": {"web": ("code", 7), "code": ("code", 3)}}, "sources.web.manifest was"),
        ({"mixture": {"web": ("web", 7)}}, "sources.code is no longer there"),
    ],
)
def test_other_data_is_refused(
    manifests: dict[str, Path], changes: dict[str, Any], said: str
) -> None:
    state = mixed(manifests).state(100)
    if "mixture" in changes:
        changes["mixture"] = {
            name: {"manifest": str(manifests[of]), "weight": weight}
            for name, (of, weight) in changes["mixture"].items()
        }
    other = mixed(manifests, **changes)
    with pytest.raises(InputError, match=f"started with other data: .*{said}"):
        other.check_state(state)


def test_one_tokenizer(manifests: dict[str, Path], tmp_path: Path) -> None:
    documents = {"train": numbered_documents([20, 20])}
    other = write_shards(tmp_path / "other", documents, tokenizer=b"another")
    with pytest.raises(InputError, match=r"code.*and .*other.* different tokenizers"):
        mixed({"web": other, "code": manifests["code"]})
    fewer = write_shards(tmp_path / "fewer", documents, vocab_size=50_000)
    with pytest.raises(InputError, match=r"60000 pieces and EOS 0, .*fewer.* has 50000 and 0"):
        mixed({"web": fewer, "code": manifests["code"]})


def test_bad_manifests(manifests: dict[str, Path], tmp_path: Path) -> None:
    def opened(path: Path, **changes: Any) -> Corpus:
        keys = {"manifest": str(path), "sequence_length": 8} | changes
        return open_corpus(Data.model_validate(keys), 1, tmp_path)

    with pytest.raises(InputError, match="no shard manifest at .*nowhere"):
        opened(tmp_path / "nowhere.json")
    with pytest.raises(UsageError, match="no split 'test'; it has: train"):
        opened(manifests["web"], split="test")
    with pytest.raises(InputError, match="has 488 tokens, one sample takes 1001; lower data.seq"):
        opened(manifests["web"], sequence_length=1000)
    changed = write_shards(tmp_path / "changed", {"train": numbered_documents([20, 20])})
    shard = tmp_path / "changed/train/shard-00000.bin"
    content = bytearray(shard.read_bytes())
    content[0] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match=r"shard-00000.bin: sha256 is .*, the manifest says"):
        opened(changed)
    opened(changed, verify="structure")
    corpus = opened(manifests["web"])
    corpus.check_vocabulary(60_000)
    with pytest.raises(InputError, match="has 60000 pieces, the model a vocab_size of 59999"):
        corpus.check_vocabulary(59_999)


def test_numbers_of_a_corpus(manifests: dict[str, Path]) -> None:
    corpus = mixed(manifests)
    assert (corpus.vocab_size, corpus.eos_id) == (60_000, 0)
    assert corpus.tokens_per_epoch == 488 + 55
    assert corpus.samples_per_epoch == 487 // 8 + 54 // 8
    assert corpus.tokenizer_file.read_bytes() == b"none"
    assert corpus.utilisation == 1
    assert 0.8 < mixed(manifests, packing="best_fit").utilisation <= 1


def test_reading_needs_neither_torch_nor_arrow(manifests: dict[str, Path]) -> None:
    code = f"""
import sys
from training.config import Data
from training.data.corpus import open_corpus
from training.data.loader import Loader
corpus = open_corpus(Data(manifest={str(manifests["web"])!r}, sequence_length=8), 1, "unused")
next(Loader(corpus, 0, 4, 1))
assert not {{"torch", "pyarrow"}} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
