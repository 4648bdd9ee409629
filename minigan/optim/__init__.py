"""Optimisers."""

from minigan.optim.adam import Adam
from minigan.optim.optimizer import Optimizer

__all__ = ["Adam", "Optimizer"]
