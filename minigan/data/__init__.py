"""Data, as host NumPy arrays."""

from minigan.data.digits import digits
from minigan.data.loader import Loader
from minigan.data.mnist import mnist
from minigan.data.sources import check, load
from minigan.data.toys import grid, line, ring

__all__ = ["Loader", "check", "digits", "grid", "line", "load", "mnist", "ring"]
