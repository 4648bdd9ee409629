"""Data, as host NumPy arrays."""

from minigan.data.digits import digits
from minigan.data.folder import folder
from minigan.data.loader import Loader
from minigan.data.mnist import mnist
from minigan.data.sources import check, classes, fingerprint, load
from minigan.data.toys import grid, line, ring

__all__ = ["Loader", "check", "classes", "digits", "fingerprint", "folder", "grid", "line", "load", "mnist", "ring"]
