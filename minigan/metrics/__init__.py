"""How good samples are, on host NumPy arrays."""

from minigan.metrics.classes import class_shares, confidence, entropy_of_mean, mean_entropy
from minigan.metrics.classifier import classification_score
from minigan.metrics.frechet import frechet_distance
from minigan.metrics.judge import Judge, judge, judge_network
from minigan.metrics.modes import high_quality_share, modes_covered, reverse_kl, spread_ratio
from minigan.metrics.neighbours import memorisation, nearest, precision_recall
from minigan.metrics.reference import Reference, reference

__all__ = [
    "Judge", "Reference", "class_shares", "classification_score", "confidence", "entropy_of_mean", "frechet_distance",
    "high_quality_share", "judge", "judge_network", "mean_entropy", "memorisation", "modes_covered",
    "nearest", "precision_recall", "reference", "reverse_kl", "spread_ratio",
]  # fmt: skip
