"""Checkpoints: complete or ignored, checked, and independent of the number of ranks."""

from training.checkpoint.checkpoints import Checkpoints
from training.checkpoint.folder import CheckpointRef
from training.checkpoint.tensors import read_tensors

__all__ = ["CheckpointRef", "Checkpoints", "read_tensors"]
