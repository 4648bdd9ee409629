"""A finished run, read back."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigan import backends
from minigan.autodiff import Tensor, no_grad
from minigan.backends import random
from minigan.errors import RunError, ShapeError
from minigan.gan import models
from minigan.gan.config import TrainConfig
from minigan.nn import Conv2d, ConvTranspose2d, Module


def latents(n: int, kind: str, rng: random.Generator | int) -> Tensor:
    """n latents (n, 100), float32: N(0, 1) if `kind` is ``normal``, U(-1, 1) if ``uniform``."""
    shape = (n, models.LATENT)
    drawn = random.normal(shape, rng=rng) if kind == "normal" else random.uniform(-1, 1, shape, rng=rng)
    return Tensor(drawn, copy=False)


def repeatable(*players: Module) -> AbstractContextManager[None]:
    """``with repeatable(generator, discriminator):`` what ran before in the process does not change how sums are rounded."""
    layers = (layer for player in players for layer in player.modules())
    return backends.own_threads(any(isinstance(layer, (Conv2d, ConvTranspose2d)) for layer in layers))


def generate(generator: Module, z: Tensor, batch: int = 250) -> Any:
    """Images for the latents z, as a host array; in evaluation mode, so that an image depends on its latent alone."""
    training = generator.training
    z = z.to(next((p.backend for p in generator.parameters()), z.backend))
    generator.eval()
    try:
        with no_grad(), repeatable(generator):
            parts = [generator(z[i : i + batch]).numpy() for i in range(0, len(z), batch)]
    finally:
        generator.train(training)
    return backends.get("numpy").concatenate(parts)


@dataclass(frozen=True)
class Run:
    """A run's settings, `config`, and its generator, `generator`; made by `load`.

    >>> run = mg.gan.Run(mg.gan.TrainConfig("gan"), mg.gan.models.mlp_generator(rng=0))
    >>> run.config.latent
    'normal'
    """

    config: TrainConfig
    generator: Module

    def sample(self, n: int, seed: int = 0) -> Any:
        """n generated images, float32 (n, 1, 28, 28) in [-1, 1], from latents drawn with `seed`.

        Raises:
            RunError: n below 1.

        >>> run = mg.gan.Run(mg.gan.TrainConfig("gan"), mg.gan.models.mlp_generator(rng=0))
        >>> run.sample(4, seed=0).shape
        (4, 1, 28, 28)
        """
        if n < 1:
            raise RunError(f"the number of samples must be at least 1, got {n}")
        return generate(self.generator, latents(n, self.config.latent, seed))


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
    if not (folder / "config.json").is_file():
        raise RunError(f"{folder} is not a run: it has no config.json; minigan train writes one")
    weights = folder / "generator.safetensors"
    if not weights.is_file():
        raise RunError(f"{folder} has no generator.safetensors yet: its first epoch was not finished")
    try:
        config = TrainConfig.from_json((folder / "config.json").read_text(), folder)
        generator, _ = models.build(config.model, 0)
        generator.load_state_dict(load_file(weights))
    except (TypeError, ValueError, RunError) as error:
        what = weights if isinstance(error, ShapeError) else folder / "config.json"
        raise RunError(f"{what} is damaged or of another version: {error}") from None
    except SafetensorError as error:
        raise RunError(f"{weights} is damaged: {error}; train again, or restore the file") from None
    return Run(config, generator)
