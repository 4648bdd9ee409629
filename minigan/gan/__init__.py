"""GANs: losses, penalties, networks, the adversarial step, and training."""

from minigan.gan import losses, models
from minigan.gan.config import PRESETS, TrainConfig
from minigan.gan.penalties import gradient_penalty
from minigan.gan.run import Run, load
from minigan.gan.step import adversarial_step
from minigan.gan.trainer import Trainer

__all__ = [
    "PRESETS", "Run", "TrainConfig", "Trainer", "adversarial_step", "gradient_penalty", "load", "losses", "models",
]  # fmt: skip
