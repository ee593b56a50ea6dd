"""Optimizers, schedules, spikes, and the moving average of the weights."""

from training.optim.average import WeightAverage
from training.optim.optimizers import OPTIMIZERS, Optimizers, build_optimizer
from training.optim.parameters import model_state, named_parameters
from training.optim.schedule import SCHEDULES, learning_rate
from training.optim.spikes import SpikeGuard, SpikeState

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Optimizers",
    "SpikeGuard",
    "SpikeState",
    "WeightAverage",
    "build_optimizer",
    "learning_rate",
    "model_state",
    "named_parameters",
]
