"""From text to token shards: train or load a SentencePiece model, write Megatron datasets."""

from stages.tokens.megatron import IndexedStream, SequenceIndex, ShardWriter, WrittenShard
from stages.tokens.tokenizer import Tokenizer
from stages.tokens.train import train_sentencepiece

__all__ = [
    "IndexedStream",
    "SequenceIndex",
    "ShardWriter",
    "Tokenizer",
    "WrittenShard",
    "train_sentencepiece",
]
