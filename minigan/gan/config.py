"""The settings of a run: one frozen dataclass, which is also the command line's options and ``config.json``."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Fixed

from minigan import data
from minigan.errors import RunError
from minigan.gan.losses import GENERATOR_LOSSES
from minigan.gan.models import MODELS

LATENTS = ("normal", "uniform")
BACKENDS = ("numpy", "cupy", None)


@dataclass(frozen=True)
class TrainConfig:
    """What to train, and how; `PRESETS` holds each model's own settings.

    Raises:
        RunError: a setting out of its range.

    >>> mg.gan.TrainConfig("gan", steps=100).batch_size
    64
    """

    model: Fixed[Literal["gan", "dcgan"]]
    """gan: fully connected; dcgan: convolutions and batch norm."""
    data: str = "digits"
    """digits: 5,000 embedded MNIST digits; mnist: all 60,000, downloaded once; mnist:FOLDER: from a folder."""
    epochs: int = 14
    """Times through the data."""
    steps: int | None = None
    """Adversarial steps; replaces epochs."""
    batch_size: int = 64
    """Real images, and generated ones, a step."""
    lr: float = 2e-4
    """Adam's learning rate."""
    lr_d: float | None = None
    """The discriminator's learning rate, where it is to be another."""
    loss: Literal["non-saturating", "minimax"] = "non-saturating"
    """The generator's loss."""
    smoothing: float = 0.9
    """The discriminator's target for real images; 1 for no smoothing."""
    latent: Literal["normal", "uniform"] = "normal"
    """Latents from N(0, 1), or from U(-1, 1)."""
    backend: str | None = None
    """numpy: the CPU; cupy: a GPU, with the extra cuda12 or cuda13; if not given, the current one, which starts as numpy."""
    threads: int | None = None
    """Threads of the CPU that `minigan train` computes with; if not given, as many as the backend starts with."""
    seed: int = 0
    """Of weights, order and noise: the same seed gives the same run."""
    out: Path | None = None
    """The run's folder; runs/MODEL if not given."""

    def __post_init__(self) -> None:
        for name in ("epochs", "steps", "batch_size", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RunError(f"{name} must be at least 1, got {value}")
        for name in ("lr", "lr_d"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise RunError(f"{name} must be above 0, got {value}")
        for name, known in (
            ("model", tuple(MODELS)),
            ("loss", tuple(GENERATOR_LOSSES)),
            ("latent", LATENTS),
            ("backend", BACKENDS),
        ):
            if getattr(self, name) not in known:
                raise RunError(f"{name} must be one of {', '.join(filter(None, known))}, got {getattr(self, name)!r}")
        data.check(self.data)
        if not 0 < self.smoothing <= 1:
            raise RunError(f"smoothing must be above 0 and at most 1, got {self.smoothing}")
        if self.seed < 0:
            raise RunError(f"seed must be at least 0, got {self.seed}")

    def to_json(self) -> str:
        """The settings as JSON, but for the folder, which may be moved."""
        values = asdict(self)
        del values["out"]
        return json.dumps(values, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, out: Path) -> TrainConfig:
        """The settings that `to_json` wrote; ValueError or TypeError if it did not."""
        return cls(**json.loads(text), out=out)


PRESETS = {
    "gan": TrainConfig("gan", epochs=100),
    "dcgan": TrainConfig("dcgan", epochs=18, batch_size=32, lr=5e-4),
}
