"""The settings of a run: one frozen dataclass, which is also the command line's options and ``config.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Fixed

from minigan import backends, data
from minigan.backends import random
from minigan.backends.cuda.source import PRECISIONS
from minigan.errors import RunError
from minigan.gan import models, points
from minigan.gan.conditional import CONDITIONS
from minigan.gan.losses import LOSSES, Loss
from minigan.gan.penalties import PENALTIES
from minigan.nn import Conv2d, Dense, Embedding, Module, SpectralNorm

DECAYS = ("none", "linear", "cosine")
NORMS = ("batch", "spectral", "none", None)
LEAST = 4  # samples that the judge takes, for the third neighbour of each
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

    model: Fixed[Literal["gan", "dcgan", "toy"]]
    """gan: fully connected; dcgan: convolutions and batch norm; toy: points instead of images."""
    data: str = "digits"
    """digits: 5,000 embedded MNIST digits; mnist: all 60,000, downloaded once; mnist:FOLDER: from a folder; folder:PATH: your
    own images; for toy: ring, grid or line."""
    size: int | None = None
    """The images' side; 28 for digits, 64 for a folder if not given."""
    channels: int | None = None
    """1 for grey, 3 for RGB; 1 for digits, 3 for a folder if not given."""
    width: int | None = None
    """Channels of the outermost convolution, which double at every level inwards; 32 for digits and 64 for a folder if not
    given. gan's layers have 4 and 8 times as many numbers, from 64; toy's as many, 128."""
    epochs: int = 14
    """Times through the data."""
    save_every: int = 1
    """Epochs from one picture, judgement and checkpoint to the next."""
    steps: int | None = None
    """Adversarial steps; replaces epochs."""
    batch_size: int = 64
    """Real images, and generated ones, a step."""
    lr: float = 2e-4
    """Adam's learning rate."""
    lr_decay: Literal["none", "linear", "cosine"] = "none"
    """How the learning rates fall to 0 until the last step."""
    lr_d: float | None = None
    """The discriminator's learning rate, where it is to be another."""
    beta1: float = 0.5
    """How much of Adam's mean gradient stays at each step."""
    beta2: float = 0.999
    """How much of Adam's mean squared gradient stays at each step."""
    loss: Literal["non-saturating", "minimax", "least-squares", "hinge", "wasserstein", "relativistic"] = (
        "non-saturating"
    )
    """What the players want."""
    smoothing: float | None = None
    """The discriminator's target for real images; 1 for no smoothing. If not given, 0.9 for the losses that have one:
    non-saturating and minimax."""
    penalty: Literal["wgan-gp", "r1", "r2", "r1+r2", "none"] = "none"
    """On the discriminator's gradient at each image; goes with --norm none or spectral."""
    penalty_weight: float | None = None
    """Its weight; 10 for wgan-gp and 1 for the others if not given."""
    penalty_weight_last: float | None = None
    """What the weight is at the last step, having fallen by the same factor in each; if not given, it stays."""
    penalty_every: int = 1
    """Take it, that many times as heavy, in one of so many of the discriminator's steps: cheaper, and much the same."""
    norm: Literal["batch", "spectral", "none"] | None = None
    """What normalises the discriminator; batch for dcgan and none for gan if not given."""
    d_steps: int = 1
    """Steps of the discriminator for each of the generator."""
    instance_noise: float = 0.0
    """Standard deviation of the noise that the discriminator sees images through."""
    instance_noise_steps: int | None = None
    """Steps in which that falls to 0; if not given, it stays."""
    ema: float | None = None
    """Keep the generator's moving average with this decay, such as 0.999, and draw samples from it."""
    conditional: bool = False
    """Tell both players the class of each image, so that minigan sample --label gets what it asks for."""
    condition: Literal["projection", "concatenation"] = "projection"
    """How the discriminator is told: by its last layer's weights, or by one more channel of the image."""
    latent: Literal["normal", "uniform"] = "normal"
    """Latents from N(0, 1), or from U(-1, 1)."""
    judge: int = 1000
    """Generated digits or points that are judged after every epoch; 0 for none."""
    backend: str | None = None
    """numpy: the CPU; cupy: a GPU, with the extra cuda12 or cuda13; if not given, the current one, which starts as numpy."""
    precision: Literal["fp32", "tf32"] = "fp32"
    """How cupy multiplies float32: exactly, or with ten bits of mantissa on the GPU's tensor cores."""
    threads: int | None = None
    """Threads of the CPU that `minigan train` computes with; if not given, as many as the backend starts with."""
    stop_on_warning: bool = False
    """Stop, with everything saved, when the monitor warns of something."""
    seed: int = 0
    """Of weights, order and noise: the same seed gives the same run."""
    out: Path | None = None
    """The run's folder; runs/MODEL if not given."""

    def __post_init__(self) -> None:
        for name in (
            "epochs",
            "steps",
            "batch_size",
            "threads",
            "size",
            "width",
            "save_every",
            "d_steps",
            "penalty_every",
            "instance_noise_steps",
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RunError(f"{name} must be at least 1, got {value}")
        for name in ("lr", "lr_d", "penalty_weight", "penalty_weight_last"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise RunError(f"{name} must be above 0, got {value}")
        for name, known in (
            ("model", (*models.MODELS, "toy")),
            ("loss", tuple(LOSSES)),
            ("penalty", (*PENALTIES, "none")),
            ("norm", NORMS),
            ("lr_decay", DECAYS),
            ("condition", CONDITIONS),
            ("latent", LATENTS),
            ("backend", BACKENDS),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in known:
                raise RunError(f"{name} must be one of {', '.join(filter(None, known))}, got {getattr(self, name)!r}")
        data.check(self.data)
        if (self.data in data.sources.TOYS) != (self.model == "toy"):
            kind = (
                "points, for toy"
                if self.data in data.sources.TOYS
                else f"images; toy takes {', '.join(data.sources.TOYS)}"
            )
            raise RunError(f"{self.model} cannot train on {self.data}, which has {kind}")
        if self.conditional and data.classes(self.data) is None:
            raise RunError(
                f"a conditional GAN is told each image's class, and {self.data} has none; leave out --conditional"
            )
        if self.channels not in (None, 1, 3):
            raise RunError(f"channels must be 1 for grey or 3 for RGB, got {self.channels}")
        if self.judge and self.judge < LEAST:
            raise RunError(f"judge must be 0 for none, or at least {LEAST}, got {self.judge}")
        for name in ("ema", "beta1", "beta2"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise RunError(f"{name} must be from 0 to below 1, got {value}")
        if not 0 <= self.instance_noise < float("inf"):
            raise RunError(f"instance_noise must be at least 0, got {self.instance_noise}")
        if self.penalty != "none" and self.normalised == "batch":
            raise RunError(
                f"the penalty {self.penalty} takes the discriminator's gradient at each image by itself, which batch norm makes "
                "depend on all the others; add --norm none, or --norm spectral, or leave the penalty out with --penalty none"
            )
        try:
            self.losses()
            if self.model != "toy":
                models.recipe(self.model, *self._measures)
        except ValueError as error:
            raise RunError(str(error)) from None
        if self.seed < 0:
            raise RunError(f"seed must be at least 0, got {self.seed}")

    @property
    def _measures(self) -> tuple[int, int, int]:
        """The side of an image, its channels, and the width."""
        own = self.data.startswith("folder:")
        usual = 32 if self.model == "dcgan" and not own else 64
        return self.size or (64 if own else 28), self.channels or (3 if own else 1), self.width or usual

    @property
    def latent_size(self) -> int:
        """How many numbers a sample is made from."""
        return points.LATENT if self.model == "toy" else models.LATENT

    @property
    def folder(self) -> Path:
        """The run's."""
        return self.out or Path("runs") / self.model

    @property
    def classes(self) -> int | None:
        """How many the players are told apart; None for a run that is not conditional."""
        return data.classes(self.data) if self.conditional else None

    @property
    def shown(self) -> int:
        """The number of samples in a picture, 64, or a row of eight for each class; 2,500 points."""
        return 2500 if self.model == "toy" else 8 * (self.classes or 8)

    def labels(self, n: int, label: int | None = None) -> Any:
        """The classes of n samples, (n,): all `label`, or without one each class in turn, n / classes of it; None without classes.

        Raises:
            RunError: a label for a run that is not conditional, or one that there is not.

        >>> mg.gan.TrainConfig("gan", conditional=True).labels(20).tolist()
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9]
        """
        if self.classes is None:
            if label is None:
                return None
            raise RunError(f"{self.folder} was not trained with --conditional: no label can be asked for, got {label}")
        if label is not None and not 0 <= label < self.classes:
            raise RunError(f"label must be from 0 to {self.classes - 1}, got {label}")
        xp = backends.get("numpy")
        return xp.arange(n) * self.classes // n if label is None else xp.full((n,), label)

    @property
    def normalised(self) -> str:
        """What normalises the discriminator."""
        return self.norm or ("batch" if self.model == "dcgan" else "none")

    def losses(self) -> Loss:
        """What the players want; ValueError where the smoothing does not go with it."""
        loss = LOSSES[self.loss]
        return loss if self.smoothing is None else loss.smoothed(self.smoothing)

    def players(self, rng: random.Generator | int) -> tuple[Module, Module]:
        """A generator and a discriminator, as they are before the first step."""
        rng = random.generator(rng)
        players: tuple[Module, Module]
        if self.model == "toy":
            players = points.build(1 if self.data == "line" else 2, rng, self.width or points.WIDTH)
        else:
            critic = self.normalised != "batch"
            players = models.build(
                self.model, rng, *self._measures, critic, classes=self.classes, condition=self.condition
            )
        if self.normalised == "spectral":
            for parent in list(players[1].modules()):
                for name, layer in parent.children():
                    if isinstance(layer, (Dense, Conv2d, Embedding)):
                        setattr(parent, name, SpectralNorm(layer, rng=rng))
        return players

    def to_json(self) -> str:
        """The settings as JSON, but for the folder, which may be moved."""
        values = asdict(self)
        del values["out"]
        return json.dumps(values, indent=2) + "\n"

    @classmethod
    def read(cls, folder: Path) -> TrainConfig:
        """The settings of the run in a folder; `RunError` where there is none, or none that can be read."""
        path = folder / "config.json"
        if not path.is_file():
            raise RunError(f"{folder} is not a run: it has no config.json; minigan train writes one")
        try:
            return cls(**json.loads(path.read_text()), out=folder)
        except (TypeError, ValueError, RunError) as error:
            raise RunError(f"{path} is damaged or of another version: {error}") from None

    def changed(self, written: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig:
        """These settings with `changes`; `RunError` where `written` says something else that is not among them."""
        model = changes.get("model", self.model)
        if model != self.model:
            raise RunError(
                f"{self.out} is a run of {self.model}, and goes on as one; {model} needs a folder of its own"
            )
        found = {f.name: (getattr(self, f.name), getattr(written, f.name)) for f in fields(self)}
        others = {name: pair for name, pair in found.items() if pair[0] != pair[1] and name not in changes}
        if others:
            differences = "; ".join(f"{name} is {new!r} there and was {old!r}" for name, (old, new) in others.items())
            options = " ".join(f"--{name.replace('_', '-')} {new}" for name, (_, new) in others.items())
            raise RunError(
                f"{self.out}/config.json was changed since the last checkpoint: {differences}; put the old values back, or say "
                f"that the new ones are meant: minigan train --resume {self.out} {options}"
            )
        return replace(self, **changes)


def fraction_left(decay: str, done: float) -> float:
    """Of a learning rate, after that fraction of all steps.

    >>> from minigan.gan.config import fraction_left
    >>> fraction_left("linear", 0.75), fraction_left("cosine", 0.5)
    (0.25, 0.5)
    """
    return {"none": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}[decay]


PRESETS = {
    "gan": TrainConfig("gan", epochs=100),
    "dcgan": TrainConfig(
        "dcgan",
        epochs=42,
        save_every=3,
        batch_size=32,
        lr=2e-3,
        lr_decay="linear",
        beta1=0.0,
        beta2=0.99,
        smoothing=1.0,
        penalty="r1",
        penalty_every=4,
        norm="none",
        ema=0.998,
    ),
    "toy": TrainConfig(
        "toy",
        data="ring",
        steps=16_000,
        batch_size=256,
        lr=1e-3,
        lr_d=2e-3,
        d_steps=2,
        lr_decay="linear",
        beta1=0.0,
        beta2=0.99,
        loss="relativistic",
        penalty="r1+r2",
        penalty_weight=0.5,
        penalty_weight_last=1e-8,
        penalty_every=4,
        ema=0.999,
        judge=2500,
    ),
}
