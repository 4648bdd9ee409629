"""Data, as host NumPy arrays."""

from minigan.data.digits import digits
from minigan.data.loader import Loader

__all__ = ["Loader", "digits"]
