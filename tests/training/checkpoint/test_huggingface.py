"""Runs that transformers loads, and folders of transformers that become runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

from model import load_pretrained
from model.config import ModelConfig
from model.decoder import Decoder
from model.generate import generate
from model.presets import preset
from pipelines.cli.main import run as corpusmill
from schemas.errors import InputError, UsageError
from schemas.recipe import Tokenizer as Settings
from stages.tokens.train import train_sentencepiece
from training.checkpoint import Checkpoints
from training.checkpoint.huggingface import export_huggingface, import_huggingface
from training.optim import WeightAverage, model_state
from training.tokenizers import load_tokenizer, prompt_tokens, save_tokenizer

BYTES = 257
PROMPTS = ["The ", "a\n\nb  c", "Größe 日本"]


def make_run(folder: Path, tokenizer: str | Path, shape: ModelConfig | None = None) -> Decoder:
    """A run with checkpoints of the steps 1 and 2; returns the decoder of step 2."""
    vocabulary = load_tokenizer(tokenizer).vocab_size
    # Large weights, so that greedy text is not one token over and over.
    shape = shape or preset("debug", vocabulary, init_std=0.4, tie_embeddings=True, qk_norm=True)
    save_tokenizer(tokenizer, folder / "tokenizer")
    model = Decoder(shape)
    saved = Checkpoints(folder / "checkpoints")
    for step in (1, 2):
        model.initialize(step)
        average = WeightAverage([model], 0.9)
        if step == 2:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter *= 1.25
            average.update()
        saved.save(step, {"model": model_state([model]), "ema": average.state()}, {}, shape)
    return model.eval()


@pytest.fixture(scope="module")
def sentencepiece_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tokenizer.model"
    text = "The quick brown fox\n\njumps over the lazy dog. Größe 12\n" * 30
    train_sentencepiece([text], path, Settings(type="bpe", vocab_size=340))
    return path


@pytest.fixture(scope="module", params=["byte", "sentencepiece"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    byte = request.param == "byte"
    make_run(folder, "byte" if byte else request.getfixturevalue("sentencepiece_model"))
    return folder


def test_transformers_writes_the_same_text(run: Path, tmp_path: Path) -> None:
    export_huggingface(run, tmp_path / "hf")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert model.dtype == torch.float32
    theirs, ours = AutoTokenizer.from_pretrained(tmp_path / "hf"), load_tokenizer(run)
    prompts = [prompt_tokens(ours, prompt) for prompt in PROMPTS]
    found = generate(
        load_pretrained(run), prompts, max_new_tokens=24, temperature=0, eos_id=ours.eos_id
    )
    for prompt, completion in zip(PROMPTS, found, strict=True):
        tokens = theirs(prompt, return_tensors="pt")["input_ids"]
        made = model.generate(tokens, max_new_tokens=24, do_sample=False, pad_token_id=0)
        new = made[0, tokens.shape[1] :].tolist()
        assert new == list(completion.tokens)
        assert theirs.decode(tokens[0]) == prompt
        text = ours.decode(new)
        # transformers shows what is no UTF-8 as one U+FFFD a byte, SentencePiece as one a run.
        if "\ufffd" not in text or ours.vocab_size == BYTES:
            assert theirs.decode(new, skip_special_tokens=True) == text
    assert len({tuple(completion.tokens) for completion in found}) == len(PROMPTS)


def test_transformers_knows_the_end_of_a_document(run: Path, tmp_path: Path) -> None:
    export_huggingface(run, tmp_path / "hf")
    eos = load_tokenizer(run).eos_id
    assert GenerationConfig.from_pretrained(tmp_path / "hf").eos_token_id == eos
    assert AutoConfig.from_pretrained(tmp_path / "hf").eos_token_id == eos
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "hf")
    assert tokenizer.eos_token_id == eos
    assert tokenizer.vocab_size == load_tokenizer(run).vocab_size
    assert tokenizer.decode([eos], skip_special_tokens=True) == ""


def test_there_and_back_is_the_same_model(run: Path, tmp_path: Path) -> None:
    export_huggingface(run, tmp_path / "hf")
    import_huggingface(tmp_path / "hf", tmp_path / "again")
    tokens = torch.arange(40).reshape(2, 20)
    with torch.no_grad():
        before, after = (load_pretrained(f)(tokens) for f in (run, tmp_path / "again"))
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")(tokens).logits
    assert torch.equal(before, after)
    assert (theirs - before).abs().max() < 1e-4
    old, new = load_tokenizer(run), load_tokenizer(tmp_path / "again")
    for prompt in PROMPTS:
        assert new.encode(prompt).tolist() == old.encode(prompt).tolist()
    assert (new.eos_id, new.bos_id, new.vocab_size) == (old.eos_id, old.bos_id, old.vocab_size)
    config = yaml.safe_load((tmp_path / "again" / "config.yaml").read_text())
    assert config["stage"] == "import"
    assert ModelConfig.model_validate(config["model"]) == load_pretrained(tmp_path / "again").config
    ref = Checkpoints(tmp_path / "again" / "checkpoints").latest()
    assert ref is not None
    assert ref.step == 0


def test_step_average_and_type(tmp_path: Path) -> None:
    last = make_run(tmp_path / "run", "byte")
    assert export_huggingface(tmp_path / "run", tmp_path / "1", step=1).step == 1
    first = Decoder(last.config)
    first.initialize(1)
    found = load_pretrained(tmp_path / "1").embedding
    assert torch.equal(found.weight, first.embedding.weight)
    export_huggingface(tmp_path / "run", tmp_path / "ema", averaged=True)
    ratio = load_pretrained(tmp_path / "ema").embedding.weight / last.embedding.weight
    # After one update: 2/11 of the first weights, which are 1/1.25 of the last.
    assert torch.allclose(ratio, torch.tensor(2 / 11 / 1.25 + 9 / 11), atol=1e-5)
    export_huggingface(tmp_path / "run", tmp_path / "bf16", dtype=torch.bfloat16)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "bf16", dtype="auto")
    assert model.dtype == torch.bfloat16
    assert torch.equal(model.model.embed_tokens.weight, last.embedding.weight.bfloat16())


def test_a_bias_of_the_choice_is_not_averaged(tmp_path: Path) -> None:
    moe = {"n_experts": 4, "top_k": 2, "ffn_dim": 32}
    make_run(tmp_path / "run", "byte", preset("debug", 257, moe=moe))
    written = export_huggingface(tmp_path / "run", tmp_path / "hf", averaged=True)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert sum(p.numel() for p in model.parameters()) == written.parameters


def test_a_model_of_transformers(tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=99,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    theirs = LlamaForCausalLM(config).eval()
    theirs.save_pretrained(tmp_path / "hf")
    lines: list[str] = []
    parameters = import_huggingface(tmp_path / "hf", tmp_path / "run", lines.append)
    assert parameters == sum(p.numel() for p in theirs.parameters())
    (line,) = lines
    assert "no tokenizer" in line
    tokens = torch.arange(40).reshape(2, 20)
    with torch.no_grad():
        ours = load_pretrained(tmp_path / "run")(tokens)
        torch.testing.assert_close(ours, theirs(tokens).logits, atol=1e-5, rtol=0)


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no training run"):
        export_huggingface(tmp_path, tmp_path / "hf")
    make_run(tmp_path / "run", "byte")
    with pytest.raises(InputError, match="no checkpoint of step 7; there are: 1, 2"):
        export_huggingface(tmp_path / "run", tmp_path / "hf", step=7)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(UsageError, match="is not empty"):
        export_huggingface(tmp_path / "run", tmp_path / "full")
    make_run(tmp_path / "alibi", "byte", preset("debug", 257, position="alibi"))
    with pytest.raises(UsageError, match="position"):
        export_huggingface(tmp_path / "alibi", tmp_path / "hf")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["alibi", "full", "run"]


def test_a_damaged_checkpoint_is_told_and_the_one_before_is_exported(tmp_path: Path) -> None:
    make_run(tmp_path / "run", "byte")
    (tmp_path / "run" / "checkpoints" / "step-2" / ".metadata").unlink()
    lines: list[str] = []
    written = export_huggingface(tmp_path / "run", tmp_path / "hf", notice=lines.append)
    assert written.step == 1
    assert "step-2: damaged" in lines[0]


def test_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "run", "byte")
    assert corpusmill(["export", "run", "--format", "hf", "--output", "hf", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["step"], said["dtype"], said["averaged"]) == (2, "float32", False)
    assert corpusmill(["import", "hf", "--output", "again"]) == 0
    assert "as step 0" in capsys.readouterr().out
    for arguments, code, line in [
        (["export", "run", "--output", "hf"], 2, "hf: is not empty"),
        (["export", "none", "--output", "new"], 1, "none: is no training run"),
        (["export", "again", "--output", "new", "--ema"], 1, "saved without ema"),
        (["import", "run", "--output", "new"], 1, "config.json"),
        (["import", "hf", "--output", "run"], 2, "run: is not empty"),
    ]:
        assert corpusmill(arguments) == code
        error = capsys.readouterr().err
        assert line in error
        assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()
