"""A finished run, read back."""

from __future__ import annotations

from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigan import backends
from minigan.autodiff import Tensor, no_grad
from minigan.backends import random
from minigan.errors import RunError, ShapeError
from minigan.gan import models
from minigan.gan.conditional import Given
from minigan.gan.config import TrainConfig
from minigan.nn import BatchNorm, Conv2d, ConvTranspose2d, Module

STATISTICS = ("running", "batch", "standing")
BATCH = 250  # images that are made together
STANDING = 64  # batches that standing statistics are gathered from


def latents(n: int, kind: str, rng: random.Generator | int, size: int = models.LATENT) -> Tensor:
    """n latents (n, size), float32: N(0, 1) if `kind` is ``normal``, U(-1, 1) if ``uniform``."""
    shape = (n, size)
    drawn = random.normal(shape, rng=rng) if kind == "normal" else random.uniform(-1, 1, shape, rng=rng)
    return Tensor(drawn, copy=False)


def repeatable(*players: Module) -> AbstractContextManager[None]:
    """``with repeatable(generator, discriminator):`` what ran before in the process does not change how sums are rounded."""
    layers = (layer for player in players for layer in player.modules())
    return backends.own_threads(any(isinstance(layer, (Conv2d, ConvTranspose2d)) for layer in layers))


def generate(generator: Module, z: Tensor, labels: Any = None, training: bool = False) -> Any:
    """Images for the latents z, and their labels if the generator is told some, as a host array.

    In evaluation mode, unless `training`: an image depends on its latent alone.
    """
    before = generator.training
    z = z.to(next((p.backend for p in generator.parameters()), z.backend))
    generator.train(training)
    try:
        with no_grad(), repeatable(generator):
            parts = [_part(generator, z, labels, slice(i, i + BATCH)) for i in range(0, len(z), BATCH)]
    finally:
        generator.train(before)
    return backends.get("numpy").concatenate(parts)


def _part(generator: Module, z: Tensor, labels: Any, part: slice) -> Any:
    return (generator if labels is None else Given(generator, labels[part]))(z[part]).numpy()


@dataclass(frozen=True)
class Run:
    """A run's settings, `config`, and its generator, `generator`; made by `load`.

    >>> run = mg.gan.Run(mg.gan.TrainConfig("gan"), mg.gan.models.mlp_generator(rng=0))
    >>> run.config.latent
    'normal'
    """

    config: TrainConfig
    generator: Module

    def sample(self, n: int, seed: int = 0, statistics: str = "running", label: int | None = None) -> Any:
        """n generated images, float32 (n, channels, size, size) in [-1, 1], or points (n, d), from latents drawn with `seed`.

        Args:
            n: how many.
            seed: of the latents.
            statistics: batch norm's: ``running``, gathered while training; ``standing``, gathered now from 64 batches of
                latents with the weights as they are (Brock et al. 2019, appendix C.1); with both, the same latent gives the
                same image whatever stands beside it. ``batch``: of the 250 images that are made together, as in training.
            label: the class of all of them, of a conditional run; without it each class in turn, as `TrainConfig.labels` says.

        Raises:
            RunError: n below 1, statistics that there are not, or a label that there is not.

        >>> run = mg.gan.Run(mg.gan.TrainConfig("gan"), mg.gan.models.mlp_generator(rng=0))
        >>> run.sample(4, seed=0).shape
        (4, 1, 28, 28)
        """
        if n < 1:
            raise RunError(f"the number of samples must be at least 1, got {n}")
        if statistics not in STATISTICS:
            raise RunError(f"statistics must be one of {', '.join(STATISTICS)}, got {statistics!r}")
        generator, classes, size = self.generator, self.config.classes, self.config.latent_size
        if statistics != "running":
            generator = deepcopy(generator)  # whose own statistics stay as they are
        if statistics == "standing":
            norms = [layer for layer in generator.modules() if isinstance(layer, BatchNorm)]
            rng = random.generator([seed, 1])
            for i in range(STANDING):
                for norm in norms:
                    norm.momentum = 1 / (i + 1)  # the mean of all batches so far
                drawn = latents(64, self.config.latent, rng, size)
                told = None if classes is None else rng.integers(classes, size=64)
                generate(generator, drawn, told, training=True)
        z = latents(n, self.config.latent, seed, size)
        return generate(generator, z, self.config.labels(n, label), training=statistics == "batch")


def load(folder: str | Path) -> Run:
    """Read a run's folder.

    Raises:
        RunError: the folder is not there, is not a run, or holds a file that cannot be read.

    Returns:
        A `Run`, with its settings and its generator.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     config = mg.gan.TrainConfig("gan", steps=1, out=pathlib.Path(folder))
    ...     mg.gan.Trainer(config).run()
    ...     mg.gan.load(folder).sample(4).shape
    (4, 1, 28, 28)
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    config = TrainConfig.read(folder)
    weights = folder / "generator.safetensors"
    if not weights.is_file():
        raise RunError(f"{folder} has no generator.safetensors yet: its first epoch was not finished")
    try:
        generator, _ = config.players(0)
        generator.load_state_dict(load_file(weights))
    except ShapeError as error:
        raise RunError(f"{weights} is damaged or of another version: {error}") from None
    except SafetensorError as error:
        raise RunError(f"{weights} is damaged: {error}; train again, or restore the file") from None
    return Run(config, generator)
