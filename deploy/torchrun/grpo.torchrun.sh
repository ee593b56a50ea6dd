#!/usr/bin/env bash
# grpo: corpusmill rl on 1 node(s) with 1 GPU(s) each.
# Start it on every node; SIGTERM makes the trainer save its state and end.
# Rendered by: corpusmill launch --target torchrun
set -euo pipefail

export PYTHONUNBUFFERED=1
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=110
export TOKENIZERS_PARALLELISM=false

read_secret() {
  if [[ ! -f $1 || ! -r $1 ]]; then
    echo "secret file $1: no readable file" >&2
    return 1
  fi
  if [[ -n $(find -L "$1" -maxdepth 0 -perm /077) ]]; then
    echo "secret file $1: others may read it: chmod 600" >&2
    return 1
  fi
  cat -- "$1"
}
HF_TOKEN=$(read_secret /home/trainer/.secrets/hugging-face)
export HF_TOKEN

# The configuration as it was when the job was rendered; renamed into place, since several hosts
# may write it.
mkdir -p -- /runs/grpo/launch
unfinished=$(mktemp -- /runs/grpo/launch/.config.XXXXXX)
printf %s 'seed: 1
device: cuda
dtype: bfloat16
init: /runs/sft
data:
  prompts: /data/gsm8k/train.jsonl
  eval: /data/gsm8k/test.jsonl
algorithm: grpo
reward: {name: gsm8k}
rollout: {group_size: 8, prompts_per_step: 32, max_new_tokens: 512, temperature: 1.0}
optimizer: {name: adamw, lr: 1.0e-6, weight_decay: 0.0}
schedule: {name: constant, warmup_steps: 10}
train: {steps: 500, log_every: 1}
checkpoint: {every: 50, keep: 2}
eval: {every: 50, metric: exact_match}
' > "$unfinished"
chmod 644 -- "$unfinished"
mv -f -- "$unfinished" /runs/grpo/launch/grpo.yaml

exec torchrun --nnodes=1 --nproc-per-node=1 --standalone --max-restarts=3 --no-python \
  corpusmill rl /runs/grpo/launch/grpo.yaml --set output=/runs/grpo
