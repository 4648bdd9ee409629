"""Optimisers."""

from minigan.optim.adam import Adam
from minigan.optim.optimizer import Optimizer
from minigan.optim.rmsprop import RMSProp
from minigan.optim.sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer", "RMSProp"]
