"""Chat templates on the way to transformers and back."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from model.decoder import Decoder
from model.generate import generate
from model.presets import preset
from schemas.chat import Message
from tests.builders import chat
from training.chat import find_formatter, open_formatter
from training.checkpoint import Checkpoints
from training.checkpoint.huggingface import export_huggingface, import_huggingface
from training.optim import model_state
from training.tokenizers import load_tokenizer, save_tokenizer


def test_a_run_answers_alike_here_and_in_transformers(tmp_path: Path) -> None:
    run, there, back = (tmp_path / name for name in ("run", "there", "back"))
    save_tokenizer(chat.qwen(tmp_path / "made"), run / "tokenizer")
    tokenizer = load_tokenizer(run)
    formatter = open_formatter("chatml", tokenizer)
    formatter.save(run / "tokenizer")
    shape = preset("debug", tokenizer.vocab_size, init_std=0.4)
    decoder = Decoder(shape)
    decoder.initialize(1)
    Checkpoints(run / "checkpoints").save(1, {"model": model_state([decoder])}, {}, shape)
    export_huggingface(run, there)

    prompt = formatter.prompt([Message(role="user", content="Hi")])
    theirs = AutoTokenizer.from_pretrained(there)
    told = [{"role": "user", "content": "Hi"}]
    ids = theirs.apply_chat_template(told, add_generation_prompt=True, return_dict=False)
    assert ids == prompt
    ends = json.loads((there / "generation_config.json").read_text())["eos_token_id"]
    assert set(ends) == formatter.stop_ids
    assert ends[0] == tokenizer.eos_id
    model = AutoModelForCausalLM.from_pretrained(there)
    written = model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)
    (found,) = generate(
        decoder.eval(), [prompt], max_new_tokens=12, temperature=0, eos_id=formatter.stop_ids
    )
    assert written[0].tolist()[len(ids) :] == found.tokens

    import_huggingface(there, back)
    again = find_formatter(back, load_tokenizer(back))
    assert again is not None
    assert again.prompt([Message(role="user", content="Hi")]) == prompt
