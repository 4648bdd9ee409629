"""What a backward pass does, for people to look at."""

from minigan.study import formula
from minigan.study.explain import Explanation, explain
from minigan.study.graph import Graph, graph
from minigan.study.lab import lab
from minigan.study.pictures import fool, gradient_picture, image_gradient
from minigan.study.record import Leaf, Record, Row, Sent, Size, record
from minigan.study.step import explain_step

__all__ = [
    "Explanation",
    "Graph",
    "Leaf",
    "Record",
    "Row",
    "Sent",
    "Size",
    "explain",
    "explain_step",
    "fool",
    "formula",
    "gradient_picture",
    "graph",
    "image_gradient",
    "lab",
    "record",
]
