"""Weights of Hugging Face model folders, read and written without transformers."""
