from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from model.config import ModelConfig
from model.decoder import Decoder
from model.moe import MoE
from model.presets import preset

transformers = pytest.importorskip("transformers")


def shape(dim: int = 16, **moe: Any) -> ModelConfig:
    keys = {"n_experts": 4, "top_k": 2, "ffn_dim": 24, **moe}
    return ModelConfig(vocab_size=11, dim=dim, n_layers=1, n_heads=2, moe=keys)


def layer(config: ModelConfig, seed: int = 1) -> MoE:
    module = MoE(config)
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return module


def hidden(batch: int = 2, length: int = 7, dim: int = 16, seed: int = 2) -> Tensor:
    return torch.randn(batch, length, dim, generator=torch.Generator().manual_seed(seed))


def gradients(
    module: MoE, x: Tensor, scale: float = 0.0, real: Tensor | None = None
) -> list[Tensor]:
    """Of a sum over outputs that weighs channels differently, with the attached losses."""
    module.loss_scale.fill_(scale)
    x = x.clone().requires_grad_()
    loss = (module(x, real) * torch.linspace(-1, 1, x.shape[-1])).sum()
    return list(torch.autograd.grad(loss, [x, *module.parameters()]))


@pytest.mark.parametrize("kernel", ["loop", "grouped"])
def test_equals_the_mixtral_of_transformers(kernel: str) -> None:
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    config = transformers.MixtralConfig(
        hidden_size=16, intermediate_size=24, num_local_experts=4, num_experts_per_tok=2
    )
    theirs = MixtralSparseMoeBlock(config)
    ours = layer(shape())
    ours.experts.kernel = kernel
    with torch.no_grad():
        theirs.gate.weight.copy_(ours.router.weight)
        theirs.experts.gate_up_proj.copy_(
            torch.cat((ours.experts.gate_proj, ours.experts.up_proj), dim=1)
        )
        theirs.experts.down_proj.copy_(ours.experts.down_proj)
    x = hidden()
    mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    out, expected = ours(mine), theirs(other)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    weights = torch.linspace(-1, 1, 16)
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    pairs = [
        (mine.grad, other.grad),
        (ours.router.weight.grad, theirs.gate.weight.grad),
        (ours.experts.gate_proj.grad, theirs.experts.gate_up_proj.grad[:, :24]),
        (ours.experts.up_proj.grad, theirs.experts.gate_up_proj.grad[:, 24:]),
        (ours.experts.down_proj.grad, theirs.experts.down_proj.grad),
    ]
    for got, want in pairs:
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
@pytest.mark.parametrize("normalize", [True, False])
def test_all_experts_chosen_is_the_dense_mixture(score: str, normalize: bool) -> None:
    module = layer(shape(top_k=4, n_shared=2, score=score, normalize_top_k=normalize))
    x = hidden()
    logits = x @ module.router.weight.T
    weights = logits.softmax(-1) if score == "softmax" else logits.sigmoid()
    if normalize:
        weights = weights / weights.sum(-1, keepdim=True)
    gate = torch.einsum("btd,efd->btef", x, module.experts.gate_proj)
    up = torch.einsum("btd,efd->btef", x, module.experts.up_proj)
    out = torch.einsum("btef,edf->bted", gate * gate.sigmoid() * up, module.experts.down_proj)
    assert module.shared is not None
    assert module.shared.gate_proj.weight.shape == (48, 16)
    expected = (weights[..., None] * out).sum(2) + module.shared(x)
    torch.testing.assert_close(module(x), expected, rtol=1e-5, atol=1e-5)


def test_names_of_the_weights() -> None:
    module = layer(shape(n_shared=1, balance="bias"))
    assert set(module.state_dict()) == {
        "router.weight",
        "experts.gate_proj",
        "experts.up_proj",
        "experts.down_proj",
        "shared.gate_proj.weight",
        "shared.up_proj.weight",
        "shared.down_proj.weight",
        "choice_bias",
    }
    assert "choice_bias" not in layer(shape()).state_dict()


def test_gradients_do_not_depend_on_how_the_batch_is_split() -> None:
    module = layer(shape(aux_coef=0.5, z_coef=0.3))
    x = hidden(batch=4)
    whole = gradients(module, x, scale=0.1)
    parts = [gradients(module, part, scale=0.1) for part in x.split([1, 2, 1])]
    torch.testing.assert_close(torch.cat([p[0] for p in parts]), whole[0], rtol=1e-5, atol=1e-5)
    for number in range(1, len(whole)):
        summed = sum(p[number] for p in parts)
        torch.testing.assert_close(summed, whole[number], rtol=1e-5, atol=1e-5)


def test_padding_leaves_no_trace_in_the_gradients_of_weights() -> None:
    module = layer(shape(aux_coef=0.5, z_coef=0.3))
    x = hidden()
    expected = gradients(module, x, scale=0.1)
    module.load.zero_()
    real = torch.tensor([[True] * 7 + [False] * 3])
    padded = torch.cat((x, torch.zeros(2, 3, 16)), dim=1)
    found = gradients(module, padded, scale=0.1, real=real)
    for got, want in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    assert module.load.sum() == 2 * 7 * 2


def test_the_attached_losses_are_those_of_their_formulas() -> None:
    module = layer(shape(aux_coef=0.5, z_coef=0.3))
    x = hidden()
    without, attached = gradients(module, x), gradients(module, x, scale=0.1)
    weight = module.router.weight.detach().clone().requires_grad_()
    logits = x @ weight.T
    p = logits.softmax(-1)
    chosen = torch.zeros_like(p).scatter_(2, p.topk(2, dim=-1).indices, 1.0)
    f = chosen.mean(1) * 4 / 2
    balance = sum(7 * (f[b] * p[b].mean(0)).sum() for b in range(2))
    z = logits.logsumexp(-1).square().sum()
    (expected,) = torch.autograd.grad(0.1 * (0.5 * balance + 0.3 * z), weight)
    torch.testing.assert_close(attached[1] - without[1], expected, rtol=1e-4, atol=1e-5)
    for got, want in zip(attached[2:], without[2:], strict=True):
        assert torch.equal(got, want)


def test_nothing_is_counted_without_training() -> None:
    module = layer(shape())
    with torch.no_grad():
        module(hidden())
    module.eval()
    module(hidden())
    assert module.load.sum() == 0


def test_a_bias_moves_the_choice_and_not_the_weights() -> None:
    module = layer(shape(top_k=1, normalize_top_k=False, balance="bias"))
    x = hidden()
    assert module.choice_bias is not None
    module.choice_bias[2] = 10.0
    routing = module.router(x.flatten(0, 1), module.choice_bias)
    assert (routing.experts == 2).all()
    expected = (x @ module.router.weight.T).softmax(-1)[..., 2].flatten()
    torch.testing.assert_close(routing.weights[:, 0], expected)


def test_the_bias_moves_by_the_sign_against_the_load() -> None:
    module = layer(shape(balance="bias", bias_update_rate=0.25))
    module.update_bias(torch.tensor([10, 2, 4, 8]))
    assert module.choice_bias is not None
    assert module.choice_bias.tolist() == [-0.25, 0.25, 0.25, -0.25]
    module.update_bias(torch.tensor([6, 6, 7, 5]))
    assert module.choice_bias.tolist() == [-0.25, 0.25, 0.0, 0.0]


def test_the_bias_evens_a_skewed_router() -> None:
    module = layer(shape(balance="bias", bias_update_rate=0.005))
    with torch.no_grad():
        module.router.weight[0] += 0.4
    x = hidden(batch=4, length=64) + 0.5

    def load() -> Tensor:
        module.load.zero_()
        module(x)
        return module.load.clone()

    before = load()
    assert before[0] > 1.7 * before.float().mean()
    for _ in range(100):
        module.update_bias(load())
    assert load().max() < 1.15 * load().float().mean()


def test_the_balance_loss_evens_a_skewed_router() -> None:
    module = layer(shape(aux_coef=1.0, z_coef=0.0))
    with torch.no_grad():
        module.router.weight[0] += 0.4
    x = hidden(batch=4, length=64) + 0.5
    module.loss_scale.fill_(1 / 256)
    optimizer = torch.optim.Adam([module.router.weight], lr=0.02)
    shares = []
    for _ in range(40):
        module.load.zero_()
        (module(x) * 0.0).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        shares.append((module.load.max() / module.load.sum()).item())
    assert shares[0] > 0.4
    assert shares[-1] < 0.3


def test_checkpointing_changes_no_gradient_and_no_sign_of_the_bias() -> None:
    plain, saved = (layer(shape(balance="bias", z_coef=0.3)) for _ in range(2))
    x = hidden()
    expected = gradients(plain, x, scale=0.1)
    saved.loss_scale.fill_(0.1)
    y = checkpoint(saved, x, use_reentrant=False)
    (y * torch.linspace(-1, 1, 16)).sum().backward()
    for parameter, want in zip(saved.parameters(), expected[1:], strict=True):
        assert torch.equal(parameter.grad, want)
    for module in (plain, saved):
        module.update_bias(module.load)
    assert plain.choice_bias is not None
    assert saved.choice_bias is not None
    assert torch.equal(plain.choice_bias, saved.choice_bias)


def test_the_router_stays_in_float32_under_autocast_and_in_bfloat16() -> None:
    module, x = layer(shape()), hidden().flatten(0, 1)
    expected = module.router(x, None).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(module.router(x, None).logits, expected)
        assert module(x[None]).dtype == torch.float32
    narrow = module.to(torch.bfloat16)
    assert narrow.router(x.bfloat16(), None).logits.dtype == torch.float32
    assert narrow(x[None].bfloat16()).dtype == torch.bfloat16


def test_a_decoder_counts_the_parameters_that_a_token_meets() -> None:
    decoder = Decoder(preset("debug-moe", 100))
    expert = 3 * 64 * 96
    total = sum(p.numel() for p in decoder.parameters())
    assert total - decoder.active_parameters == 2 * 2 * expert
    assert len(list(decoder.moe_layers())) == 2
    dense = Decoder(preset("debug", 100))
    assert dense.active_parameters == sum(p.numel() for p in dense.parameters())


def test_a_decoder_takes_documents_below_zero_for_padding() -> None:
    decoder = Decoder(preset("debug-moe", 100))
    decoder.initialize(1)
    tokens = torch.arange(10)[None]
    documents = torch.tensor([[0] * 6 + [-1] * 4])
    decoder(tokens, None, documents, tokens).sum().backward()
    assert [layer.load.sum().item() for layer in decoder.moe_layers()] == [12, 12]


def test_initialize_gives_values_to_buffers_without_any() -> None:
    with torch.device("meta"):
        decoder = Decoder(preset("debug-moe", 100))
    decoder = decoder.to_empty(device="cpu")
    for module in decoder.moe_layers():
        module.load.fill_(7)
        module.loss_scale.fill_(7)
    decoder.initialize(1)
    assert all(m.load.sum() == 0 and m.loss_scale == 0 for m in decoder.moe_layers())


@pytest.mark.parametrize("balance", ["loss", "bias"])
def test_a_layer_compiles_whole(balance: str) -> None:
    config = shape(balance=balance, n_shared=1, z_coef=0.3)
    plain, compiled = layer(config), layer(config)
    expected = gradients(plain, hidden(), scale=0.1)
    compiled.compile(backend="aot_eager", fullgraph=True)
    for got, want in zip(gradients(compiled, hidden(), scale=0.1), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)
    assert torch.equal(compiled.load, plain.load)
