"""What a backward pass does, for people to look at."""

from minigan.study.record import Leaf, Record, Row, Sent, Size, record

__all__ = ["Leaf", "Record", "Row", "Sent", "Size", "record"]
