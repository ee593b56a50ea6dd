"""LoRA and its kin against peft, and merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.adapters import nf4
from model.adapters.config import LoraConfig
from model.adapters.lora import LoraLinear, QuantizedLoraLinear
from model.adapters.merged import FreshAdapters, MergedWeights, quantization
from model.adapters.peft_lora import read_lora, write_lora
from model.adapters.targets import adapt, adapted_layers, adapters
from model.decoder import Decoder
from model.huggingface import HuggingFaceWeights, load_huggingface
from model.weights import build
from schemas.errors import InputError, UsageError
from tests.builders.huggingface import theirs, tokens

peft = pytest.importorskip("peft")

METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "rslora": {"rslora": True},
    "dora": {"dora": True},
    "some": {"targets": ("q_proj", "layers.1.ffn.*"), "alpha": 3.0},
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "llama mlp bias": ("llama", {"mlp_bias": True, "attention_bias": True}),
}
CPU = torch.device("cpu")


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES)
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    family, changes = request.param
    theirs(family, changes).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    theirs("llama", {}).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def adapted(folder: Path, config: LoraConfig, seed: int = 3) -> Decoder:
    """With the first values of its adapters."""
    weights = HuggingFaceWeights(folder)
    decoder = load_huggingface(folder)
    adapt(decoder, adapted_layers(decoder.config, config), config)
    fresh = FreshAdapters(weights, config, seed)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            parameter.copy_(fresh.tensor(name))
        for name, layer in adapters([decoder]).items():
            if isinstance(layer, QuantizedLoraLinear):
                layer.quantize(fresh.tensor(f"{name}.weight"))
    return decoder


def trained(decoder: Decoder) -> Decoder:
    """The same with adapters that do something."""
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            if parameter.requires_grad:
                drawn = torch.randn(parameter.shape, generator=generator)
                if name.endswith("magnitude"):
                    parameter.mul_(1 + 0.1 * drawn)
                else:
                    parameter.add_(0.05 * drawn)
    return decoder


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found = model(tokens())
    return found if isinstance(found, Tensor) else found.logits


def peft_model(folder: Path, adapter: Path) -> Any:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    return peft.PeftModel.from_pretrained(model, str(adapter))


def read_adapters(decoder: Decoder) -> dict[str, Any]:
    return {name: layer.factors for name, layer in adapters([decoder]).items()}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_peft_loads_what_is_written(base: Path, tmp_path: Path, method: dict[str, Any]) -> None:
    config = LoraConfig(rank=4, **method)
    decoder = trained(adapted(base, config))
    write_lora(
        tmp_path / "adapter",
        decoder.config,
        read_adapters(decoder),
        rank=config.rank,
        rslora=config.rslora,
    )
    expected = logits(peft_model(base, tmp_path / "adapter"))
    torch.testing.assert_close(logits(decoder), expected, atol=1e-5, rtol=1e-5)
    assert (expected - logits(load_huggingface(base))).abs().max() > 0.1, "adapters that do nothing"


def test_a_small_alpha_is_written_as_it_is(base: Path, tmp_path: Path) -> None:
    decoder = adapted(base, LoraConfig(rank=3, alpha=1e-7))
    write_lora(tmp_path, decoder.config, read_adapters(decoder), rank=3, rslora=False)
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert written["lora_alpha"] == pytest.approx(1e-7, rel=1e-9)


@pytest.mark.parametrize("family", ["mixtral", "qwen3_moe"])
def test_attention_of_a_sparse_model_is_adapted(tmp_path: Path, family: str) -> None:
    theirs(family, {"head_dim": 8}).save_pretrained(tmp_path / "base")
    decoder = trained(adapted(tmp_path / "base", LoraConfig(rank=4)))
    assert len(adapters([decoder])) == 3 * 4
    write_lora(tmp_path / "adapter", decoder.config, read_adapters(decoder), rank=4, rslora=False)
    expected = logits(peft_model(tmp_path / "base", tmp_path / "adapter"))
    torch.testing.assert_close(logits(decoder), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"use_rslora": True, "target_modules": ["q_proj", "v_proj"]},
        {"use_dora": True},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"layers.1.mlp.up_proj": 5}},
        {
            "rank_pattern": {r"^model\.layers\.0\.self_attn\.q_proj": 5, "q_proj": 2},
            "alpha_pattern": {r".*\.1\..*proj": 5, "up_proj": 1.5},
            "use_rslora": True,
            "use_dora": True,
        },
        {"layers_to_transform": [0, 2], "layers_pattern": "layers"},
        {"exclude_modules": r".*layers\.1.*", "fan_in_fan_out": True},
        {"target_modules": "all-linear"},
        {"velora_config": {"num_groups": 4}},
    ],
    ids=[
        *("lora", "rslora", "dora", "patterns", "expressions", "layers", "excluded", "all-linear"),
        "velora",
    ],
)
def test_what_peft_wrote_is_merged(base: Path, tmp_path: Path, keys: dict[str, Any]) -> None:
    from transformers import AutoModelForCausalLM

    keys = {"target_modules": ["q_proj", "o_proj", "up_proj", "down_proj"]} | keys
    their = peft.LoraConfig(r=3, lora_alpha=7, init_lora_weights=False, **keys)
    torch.manual_seed(5)
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), their).eval()
    model.save_pretrained(tmp_path / "adapter")
    weights = HuggingFaceWeights(base)
    _, found = read_lora(tmp_path / "adapter", weights.config)
    merged = MergedWeights(tmp_path / "adapter", weights.config, weights, found)
    expected = logits(model)
    torch.testing.assert_close(
        logits(build(merged, CPU, torch.float32)), expected, atol=1e-5, rtol=1e-5
    )
    assert (expected - logits(load_huggingface(base))).abs().max() > 0.1


def test_gradients_are_those_of_peft(llama: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    config = LoraConfig(rank=4, dora=True)
    decoder = trained(adapted(llama, config))
    place = tmp_path / "adapter"
    write_lora(place, decoder.config, read_adapters(decoder), rank=4, rslora=False)
    model = peft.PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(llama), str(place), is_trainable=True
    )
    direction = torch.randn(2, 24, 61, generator=torch.Generator().manual_seed(1)) / 100
    (decoder(tokens()) * direction).sum().backward()
    (model(tokens()).logits * direction).sum().backward()
    ours = {n: p.grad for n, p in decoder.named_parameters() if p.grad is not None}
    other = [p.grad for p in model.parameters() if p.requires_grad]
    assert len(ours) == len(other) == 3 * 21
    pairs = {"lora_a": "lora_A.default.weight", "lora_b": "lora_B.default.weight"}
    grads = {n: p.grad for n, p in model.named_parameters()}
    for name, gradient in ours.items():
        layer, _, kind = name.rpartition(".")
        there = layer.replace(".attention.", ".self_attn.").replace(".ffn.", ".mlp.")
        end = pairs.get(kind, "lora_magnitude_vector.default.weight")
        expected = grads[f"base_model.model.model.{there}.{end}"]
        torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_training_starts_from_the_base(llama: Path, method: dict[str, Any]) -> None:
    found, expected = logits(adapted(llama, LoraConfig(**method))), logits(load_huggingface(llama))
    if method.get("dora"):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
    else:
        assert torch.equal(found, expected)


@pytest.mark.parametrize("method", [*METHODS.values(), {"quantize": "nf4"}], ids=str)
def test_merged_weights_are_the_model(llama: Path, method: dict[str, Any]) -> None:
    config = LoraConfig(rank=4, **method)
    decoder = trained(adapted(llama, config))
    weights = HuggingFaceWeights(llama)
    found = MergedWeights(
        llama, weights.config, weights, read_adapters(decoder), quantization(config)
    )
    merged = build(found, CPU, torch.float32)
    torch.testing.assert_close(logits(merged), logits(decoder), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("double", [True, False], ids=["double", "single"])
@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
def test_a_quantised_layer_is_one_of_the_dequantised_weight(double: bool, dora: bool) -> None:
    config = LoraConfig(rank=3, quantize="nf4", double_quant=double, dora=dora)
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(40, 72, generator=generator)
    packed = QuantizedLoraLinear(72, 40, True, config)
    packed.quantize(weight)
    plain = LoraLinear(72, 40, True, config)
    with torch.no_grad():
        plain.weight.copy_(nf4.dequantize(nf4.quantize(weight, double=double), weight.shape))
        packed.bias.copy_(plain.bias)
        for name in ("lora_a", "lora_b"):
            getattr(plain, name).normal_(generator=generator)
            getattr(packed, name).copy_(getattr(plain, name))
    x = torch.randn(5, 72, generator=generator, requires_grad=True)
    again = x.detach().clone().requires_grad_()
    y, expected = packed(x), plain(again)
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
    y.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(x.grad, again.grad, atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(packed.lora_a.grad, plain.lora_a.grad, atol=1e-3, rtol=1e-5)
    assert packed.weight is None


def test_a_quantised_layer_computes_in_bfloat16() -> None:
    layer = QuantizedLoraLinear(64, 32, False, LoraConfig(quantize="nf4"))
    layer.quantize(torch.randn(32, 64, generator=torch.Generator().manual_seed(1)))
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(y.float(), x @ layer.frozen_weight().t(), atol=0.2, rtol=0.05)


def test_targets_are_patterns() -> None:
    from model.config import ModelConfig

    shape = ModelConfig(vocab_size=9, dim=16, n_layers=2, n_heads=2)
    assert len(adapted_layers(shape, LoraConfig())) == 14

    def of(*patterns: str) -> list[str]:
        return adapted_layers(shape, LoraConfig(targets=patterns))

    assert of("layers.*.attention.q_proj") == [f"layers.{n}.attention.q_proj" for n in (0, 1)]
    assert of("down_proj", "layers.1.attention.[kv]_proj") == [
        "layers.0.ffn.down_proj",
        "layers.1.attention.k_proj",
        "layers.1.attention.v_proj",
        "layers.1.ffn.down_proj",
    ]
    assert of(r"re:layers\.0\.(attention\.o|ffn\.up)_proj") == [
        "layers.0.attention.o_proj",
        "layers.0.ffn.up_proj",
    ]
    with pytest.raises(UsageError) as error:
        of("q_proj", "head")
    assert str(error.value) == (
        "lora.targets: 'head' is no linear layer of this model; there are: "
        "layers.*.attention.q_proj, layers.*.attention.k_proj, layers.*.attention.v_proj, "
        "layers.*.attention.o_proj, layers.*.ffn.gate_proj, layers.*.ffn.up_proj, "
        "layers.*.ffn.down_proj"
    )
    with pytest.raises(UsageError, match="is no regular expression"):
        of("re:(")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type 'IA3'"),
        ({"bias": "all"}, "bias 'all' is not known here"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"lora_alpha": None}, "lora_alpha is missing or no number"),
        ({"use_dora": True}, "lacks a tensor of its adapter"),
    ],
    ids=str,
)
def test_other_adapters_are_refused(
    llama: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    import json

    decoder = adapted(llama, LoraConfig())
    place = tmp_path / "adapter"
    write_lora(place, decoder.config, read_adapters(decoder), rank=8, rslora=False)
    path = place / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message) as error:
        read_lora(place, decoder.config)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"target_modules": ["q_proj", "lm_head"]}, r"lm_head\..* is of embedding or head"),
        ({"target_modules": ["q_proj", "embed_tokens"]}, "embed_tokens.* is of embedding or head"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save \['lm_head'\] is not known"),
        ({"bias": "lora_only"}, "bias 'lora_only' is not known"),
        ({"lora_bias": True}, "lora_bias True is not known"),
        ({"trainable_token_indices": [1]}, r"trainable_token_indices \[1\] is not known"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights 'pissa' belongs to a base that"),
        ({"alora_invocation_tokens": [3]}, r"alora_invocation_tokens \[3\] is not known"),
    ],
    ids=str,
)
def test_what_peft_wrote_beyond_linear_layers_is_refused(
    tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    from transformers import AutoModelForCausalLM

    changes = {"tie_word_embeddings": True, "attention_bias": True}
    theirs("llama", changes).save_pretrained(tmp_path / "base")
    config = peft.LoraConfig(**({"target_modules": ["q_proj"], "task_type": "CAUSAL_LM"} | keys))
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), config)
    model.save_pretrained(tmp_path / "adapter")
    with pytest.raises(InputError, match=message) as error:
        read_lora(tmp_path / "adapter", HuggingFaceWeights(tmp_path / "base").config)
    assert "\n" not in str(error.value)


def test_an_adapter_of_another_model_is_refused(llama: Path, tmp_path: Path) -> None:
    decoder = adapted(llama, LoraConfig())
    place = tmp_path / "adapter"
    write_lora(place, decoder.config, read_adapters(decoder), rank=8, rslora=False)
    wider = decoder.config.model_copy(update={"dim": 64})
    with pytest.raises(InputError, match="is it another model's"):
        read_lora(place, wider)
    shorter = decoder.config.model_copy(update={"n_layers": 2})
    with pytest.raises(InputError, match=r"layers\.2\..* has no place in this model"):
        read_lora(place, shorter)
