"""Files of a Hugging Face folder: shards, index, types, and what can be wrong. No transformers."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from model.config import ModelConfig
from model.decoder import Decoder
from model.huggingface import HuggingFaceWeights, load_huggingface, save_huggingface
from model.weights import build, expected_shapes
from schemas.errors import InputError, OutputError

SHAPE: dict[str, Any] = {
    "vocab_size": 50,
    "dim": 16,
    "n_layers": 2,
    "n_heads": 2,
    "ffn_dim": 32,
    "max_seq_len": 32,
}
MOE = {"moe": {"n_experts": 3, "top_k": 1}}


def decoder(**changes: Any) -> Decoder:
    model = Decoder(ModelConfig.model_validate({**SHAPE, **changes}))
    model.initialize(5)
    return model.eval()


def same(one: Decoder, other: Decoder) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


@pytest.mark.parametrize("changes", [{}, {"tie_embeddings": True}, MOE], ids=str)
@pytest.mark.parametrize("limit", [1, 5000, 10**9])
def test_shards_of_any_size(tmp_path: Path, changes: dict[str, Any], limit: int) -> None:
    model = decoder(**changes)
    # In any order, as ranks may hand them over.
    state = sorted(model.state_dict().items(), reverse=True)
    save_huggingface(model.config, state, tmp_path, max_shard_bytes=limit)
    assert same(load_huggingface(tmp_path), model)
    files = sorted(tmp_path.glob("*.safetensors"))
    held = [load_file(file) for file in files]
    if limit == 10**9:
        assert [file.name for file in files] == ["model.safetensors"]
        return
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    for file, tensors in zip(files, held, strict=True):
        assert len(tensors) == 1 or sum(t.nbytes for t in tensors.values()) <= limit
        assert {index["weight_map"][name] for name in tensors} == {file.name}
    assert sum(map(len, held)) == len(index["weight_map"])
    assert index["metadata"]["total_size"] == sum(t.nbytes for h in held for t in h.values())
    assert len({name for h in held for name in h}) == len(index["weight_map"])
    assert not list(tmp_path.glob(".part-*"))


def test_types_and_the_place_of_weights(tmp_path: Path) -> None:
    model = decoder(tie_embeddings=True)
    save_huggingface(model.config, model.state_dict(), tmp_path, dtype=torch.bfloat16)
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == "bfloat16"
    stored = load_file(tmp_path / "model.safetensors")
    assert {t.dtype for t in stored.values()} == {torch.bfloat16}
    assert "lm_head.weight" not in stored
    wide, narrow = load_huggingface(tmp_path), load_huggingface(tmp_path, dtype=torch.bfloat16)
    for name, weight in wide.named_parameters():
        assert weight.dtype == torch.float32
        assert weight.requires_grad
        assert torch.equal(weight.bfloat16(), narrow.get_parameter(name))
    assert wide.head is not None
    assert wide.embedding is not None
    assert wide.head.weight is wide.embedding.weight
    # A pipeline's last stage asks for its tied head by its own name.
    head = HuggingFaceWeights(tmp_path).tensor("head.weight")
    assert torch.equal(head, wide.embedding.weight.bfloat16())
    assert not wide.training
    assert torch.equal(wide(torch.tensor([[1, 2]])), wide(torch.tensor([[1, 2]])))


def test_loaded_weights_can_be_trained_and_the_file_stays(tmp_path: Path) -> None:
    model = decoder(**MOE)
    save_huggingface(model.config, model.state_dict(), tmp_path)
    loaded = load_huggingface(tmp_path)
    with torch.no_grad():
        for weight in loaded.parameters():
            weight.add_(1)
    assert not same(loaded, model)
    assert same(load_huggingface(tmp_path), model)


def test_sparse_layers_come_with_their_buffers(tmp_path: Path) -> None:
    model = decoder(**MOE)
    save_huggingface(model.config, model.state_dict(), tmp_path)
    loaded = load_huggingface(tmp_path)
    assert not any(buffer.is_meta for buffer in loaded.buffers())
    tokens = torch.tensor([[1, 2, 3]])
    assert torch.equal(loaded(tokens), model(tokens))
    loaded.train()(tokens).sum().backward()


def test_no_second_copy_of_the_model_is_held() -> None:
    """Each tensor read is gone before the one after the next is read."""
    model = decoder()
    alive: list[weakref.ref[Tensor]] = []

    class Source:
        folder = Path("F")
        config = model.config

        def tensor(self, name: str) -> Tensor:
            assert sum(ref() is not None for ref in alive) <= 1
            tensor = model.state_dict()[name].clone()
            alive.append(weakref.ref(tensor))
            return tensor

    assert same(build(Source(), torch.device("cpu"), torch.float32), model)
    assert len(alive) == len(expected_shapes(model.config))


def test_special_tokens_and_tokenizer_files(tmp_path: Path) -> None:
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text("{}")
    model, out = decoder(), tmp_path / "out"
    save_huggingface(model.config, model.state_dict(), out, [tokenizer], bos_id=1, eos_id=7)
    assert (out / "tokenizer.json").read_text() == "{}"
    config = json.loads((out / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"]) == (1, 7)
    generation = json.loads((out / "generation_config.json").read_text())
    assert generation == {"bos_token_id": 1, "eos_token_id": 7}


def test_a_given_generation_config_is_kept(tmp_path: Path) -> None:
    given = tmp_path / "generation_config.json"
    given.write_text('{"eos_token_id": [7, 8]}')
    model = decoder()
    save_huggingface(model.config, model.state_dict(), tmp_path / "out", [given], eos_id=7)
    assert (tmp_path / "out" / given.name).read_text() == given.read_text()


def rewritten(file: Path, change: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def without(name: str) -> Callable[[Path], None]:
    return lambda f: rewritten(f / "model.safetensors", lambda t: t.__delitem__(name))


def with_tensor(name: str, tensor: Tensor) -> Callable[[Path], None]:
    return lambda f: rewritten(f / "model.safetensors", lambda t: t.update({name: tensor}))


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])


def index_of(files: dict[str, str] | None) -> Callable[[Path], None]:
    tree = {} if files is None else {"weight_map": files}
    return lambda f: (f / "model.safetensors.index.json").write_text(json.dumps(tree)) and None


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no configuration": (lambda f: (f / "config.json").unlink(), "config.json: cannot be read"),
    "no json": (lambda f: (f / "config.json").write_text("{"), "config.json: cannot be read"),
    "no object": (lambda f: (f / "config.json").write_text("[]"), "config.json: is no JSON object"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
    "cut off": (cut, "model.safetensors: is no whole safetensors file"),
    "empty": (
        lambda f: (f / "model.safetensors").write_bytes(b""),
        "model.safetensors: is no whole safetensors file",
    ),
    "one missing": (without("model.norm.weight"), "model.norm.weight is missing"),
    "one too much": (
        with_tensor("score.weight", torch.zeros(2)),
        "score.weight has no place in this model",
    ),
    "shape": (
        with_tensor("model.norm.weight", torch.ones(4)),
        r"norm.weight has the shape \[4\], the model's configuration asks for \[16\]",
    ),
    "index without map": (index_of(None), "has no weight_map"),
    "index of another folder": (index_of({"x": "../a.safetensors"}), "has no weight_map"),
    "index of a missing file": (index_of({"x": "a.safetensors"}), "a.safetensors: is missing"),
    "index of a missing tensor": (index_of({"x": "model.safetensors"}), "x, of the index"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_in_one_line(tmp_path: Path, name: str) -> None:
    model = decoder()
    save_huggingface(model.config, model.state_dict(), tmp_path)
    damage, message = DAMAGE[name]
    damage(tmp_path)
    with pytest.raises(InputError, match=message) as raised:
        load_huggingface(tmp_path)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_expert_of_another_shape(tmp_path: Path) -> None:
    model = decoder(**MOE)
    save_huggingface(model.config, model.state_dict(), tmp_path)
    name = "model.layers.1.block_sparse_moe.experts.2.w2.weight"
    with_tensor(name, torch.zeros(3, 3))(tmp_path)
    with pytest.raises(InputError, match=f"{name} has the shape"):
        load_huggingface(tmp_path)


def test_leftovers_of_old_files_are_ignored(tmp_path: Path) -> None:
    model = decoder(tie_embeddings=True)
    save_huggingface(model.config, model.state_dict(), tmp_path)
    with_tensor("model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones(4))(tmp_path)
    with_tensor("lm_head.weight", torch.ones(50, 16))(tmp_path)
    assert same(load_huggingface(tmp_path), model)


def states(model: Decoder) -> Iterator[tuple[str, list[tuple[str, Tensor]]]]:
    whole = list(model.state_dict().items())
    yield "norm.weight is missing", [(n, t) for n, t in whole if n != "norm.weight"]
    yield "given twice", [*whole, whole[0]]
    yield "extra has no place", [*whole, ("extra", torch.zeros(1))]
    yield "has the shape", [(n, t[:1]) for n, t in whole]


@pytest.mark.parametrize("number", range(4))
def test_a_state_that_is_not_the_model_s(tmp_path: Path, number: int) -> None:
    model = decoder()
    message, state = list(states(model))[number]
    with pytest.raises(InputError, match=message):
        save_huggingface(model.config, state, tmp_path, max_shard_bytes=100)
    assert not list(tmp_path.iterdir()), "a folder that looks like a model"


def test_weights_are_not_written_over(tmp_path: Path) -> None:
    model = decoder()
    save_huggingface(model.config, model.state_dict(), tmp_path)
    with pytest.raises(OutputError, match="holds weights already"):
        save_huggingface(model.config, model.state_dict(), tmp_path)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        save_huggingface(model.config, model.state_dict(), blocked)
