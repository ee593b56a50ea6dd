"""Hugging Face model folders, read and written without transformers."""

from model.huggingface.reading import HuggingFaceWeights, load_huggingface
from model.huggingface.writing import save_huggingface

__all__ = ["HuggingFaceWeights", "load_huggingface", "save_huggingface"]
