"""GANs: losses, penalties, networks, the adversarial step, and training."""

from minigan.gan import conditional, losses, models, penalties
from minigan.gan.captured import Captured
from minigan.gan.conditional import Given
from minigan.gan.config import PRESETS, TrainConfig
from minigan.gan.ema import EMA
from minigan.gan.noise import InstanceNoise
from minigan.gan.penalties import gradient_penalty
from minigan.gan.run import Run, load
from minigan.gan.step import adversarial_step, discriminator_step, generator_step
from minigan.gan.trainer import Trainer

__all__ = [
    "Captured", "EMA", "Given", "InstanceNoise", "PRESETS", "Run", "TrainConfig", "Trainer", "adversarial_step", "conditional",
    "discriminator_step", "generator_step", "gradient_penalty", "load", "losses", "models", "penalties",
]  # fmt: skip
