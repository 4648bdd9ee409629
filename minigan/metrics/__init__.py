"""How good samples are, on host NumPy arrays."""

from minigan.metrics.neighbours import class_shares, nearest

__all__ = ["class_shares", "nearest"]
