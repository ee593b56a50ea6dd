"""The shape of a decoder, as configuration files and run folders spell it. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

RopeScaling = Literal["none", "linear", "ntk", "dynamic", "yarn", "llama3"]


class Section(BaseModel):
    """Keys that cannot be changed, and no others; numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RopeConfig(Section):
    """Rotary position embedding (Su et al., arXiv 2104.09864) and how it is stretched."""

    theta: float = Field(10_000.0, gt=0)
    scaling: RopeScaling = "none"
    factor: float = Field(1.0, ge=1)
    """How many times longer than `original_len` the context is to be."""
    original_len: int | None = Field(None, ge=1)
    """Tokens of context that the model was trained with; default: max_seq_len of the model."""
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    """YaRN's ramp, in turns over the original context (Peng et al., arXiv 2309.00071, 3.2)."""
    attn_factor: float | None = None
    """YaRN's factor on cos and sin; default 0.1 ln(factor) + 1 (same paper, section 3.4)."""
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    """Llama 3.1's ramp, in turns over the original context (its `apply_scaling`)."""

    @model_validator(mode="after")
    def _stretches(self) -> RopeConfig:
        if self.scaling == "none" and self.factor != 1.0:
            raise ValueError("factor: needs a scaling: linear, ntk, dynamic, yarn or llama3")
        return self


class MoEConfig(Section):
    """Sparse mixture of experts in place of the dense feed-forward network."""

    n_experts: int = Field(ge=2)
    top_k: int = Field(ge=1)
    ffn_dim: int | None = Field(None, ge=1)
    """Hidden width of one expert; default: the model's ffn_dim."""
    n_shared: int = Field(0, ge=0)
    """Experts that see every token (DeepSeekMoE, arXiv 2401.06066)."""
    score: Literal["softmax", "sigmoid"] = "softmax"
    """Of an expert, from the router's logits (sigmoid: DeepSeek-V3, arXiv 2412.19437, eq. 15)."""
    normalize_top_k: bool = True
    """Weights of the chosen experts sum to one."""
    balance: Literal["loss", "bias"] = "loss"
    """`loss`: an auxiliary loss a sequence; `bias`: a bias on the choice alone, moved against the
    load after each step (DeepSeek-V3, arXiv 2412.19437, section 2.1.2)."""
    aux_coef: float = Field(0.01, ge=0)
    """Of the auxiliary loss; without effect for `bias`."""
    z_coef: float = Field(0.001, ge=0)
    """Router z-loss (ST-MoE, arXiv 2202.08906, equation 5)."""
    bias_update_rate: float = Field(0.001, ge=0)

    @model_validator(mode="after")
    def _top_k_fits(self) -> MoEConfig:
        if self.top_k > self.n_experts:
            raise ValueError(f"top_k: {self.top_k} of {self.n_experts} experts cannot be chosen")
        return self


class ModelConfig(Section):
    """A Llama-family decoder."""

    vocab_size: int = Field(ge=2)
    dim: int = Field(ge=2)
    n_layers: int = Field(ge=1)
    n_heads: int = Field(ge=1)
    n_kv_heads: int | None = Field(None, ge=1)
    """Heads of keys and values: n_heads (MHA, the default), fewer (GQA) or 1 (MQA)."""
    head_dim: int | None = Field(None, ge=2)
    """Default: dim / n_heads."""
    ffn_dim: int | None = Field(None, ge=1)
    """Default: 8/3 dim, rounded up to a multiple of 32 (Shazeer, arXiv 2002.05202)."""
    max_seq_len: int = Field(2048, ge=1)
    position: Literal["rope", "alibi"] = "rope"
    rope: RopeConfig = RopeConfig()
    norm_eps: float = Field(1e-5, gt=0)
    tie_embeddings: bool = False
    """The output head is the embedding."""
    qk_norm: bool = False
    """RMSNorm over each head of queries and keys, before the rotation (Qwen3)."""
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    sliding_window: int | None = Field(None, ge=1)
    """A token sees itself and the window - 1 tokens before it."""
    sliding_window_from: int = Field(0, ge=0)
    """The first layer with a window; those before it see everything (Qwen2's max_window_layers)."""
    moe: MoEConfig | None = None
    init_std: float = Field(0.02, gt=0)

    @model_validator(mode="after")
    def _heads_fit(self) -> ModelConfig:
        if self.n_heads % self.kv_heads:
            raise ValueError(f"n_kv_heads: {self.kv_heads} does not divide n_heads {self.n_heads}")
        if self.head_dim is None and self.dim % self.n_heads:
            raise ValueError(f"n_heads: {self.n_heads} does not divide dim {self.dim}")
        if self.position == "rope" and self.head_size % 2:
            raise ValueError(f"head_dim: {self.head_size} is odd; a rotation needs pairs")
        return self

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.n_heads if self.n_kv_heads is None else self.n_kv_heads

    @property
    def head_size(self) -> int:
        """Numbers a head."""
        return self.dim // self.n_heads if self.head_dim is None else self.head_dim

    @property
    def hidden_dim(self) -> int:
        """Width of the dense feed-forward network."""
        return -(-self.dim * 8 // 3 // 32) * 32 if self.ffn_dim is None else self.ffn_dim

    @property
    def expert_dim(self) -> int:
        """Hidden width of one expert; of the dense network where there are no experts."""
        return self.hidden_dim if self.moe is None else self.moe.ffn_dim or self.hidden_dim

    def window_of(self, layer: int) -> int | None:
        """Window of a layer's attention, None for all of the past."""
        return self.sliding_window if layer >= self.sliding_window_from else None
