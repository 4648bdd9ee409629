"""Training: steps, epochs, files."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

from minigan import backends, data
from minigan.autodiff import Tensor
from minigan.backends import random
from minigan.errors import RunError, TrainingFailed
from minigan.gan import files, models, pictures
from minigan.gan.config import TrainConfig
from minigan.gan.losses import GENERATOR_LOSSES, discriminator
from minigan.gan.run import generate, latents, repeatable
from minigan.gan.step import adversarial_step
from minigan.optim import Adam

READ_EVERY = 10  # steps between two readings of the losses
BETAS = (0.5, 0.999)  # Radford et al. (2016)


class Trainer:
    """One run: both players, their optimisers, the data, and the folder where the results go.

    After every epoch the folder holds whole files: ``samples.png`` (from the same 64 latents each time, and one
    ``samples-NNN.png`` an epoch), ``losses.png``, ``metrics.jsonl``, ``generator.safetensors``. The same seed gives
    the same run, bit for bit.

    Args:
        config: the settings, such as `PRESETS["dcgan"]`.

    Raises:
        RunError: settings that make no sense, data that cannot be had, a batch larger than the data, a folder that
            holds a run or cannot be written to.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     config = mg.gan.TrainConfig("gan", steps=1, out=pathlib.Path(folder))
    ...     mg.gan.Trainer(config).run()
    ...     sorted(path.name for path in config.out.glob("s*.png"))
    ['samples-000.png', 'samples-001.png', 'samples.png']
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.backend = config.backend or backends.current().name
        if config.threads is not None:
            backends.set_threads(config.threads)
        backends.get(self.backend)  # one that cannot be used is said before anything is read or written
        self.out = config.out or Path("runs") / config.model
        images, _ = data.load(config.data)
        if config.batch_size > len(images):
            raise RunError(f"a batch of {config.batch_size} is larger than the data, {len(images)} images")
        self.loader = data.Loader(images, batch_size=config.batch_size, seed=config.seed)
        self.steps = config.steps or config.epochs * len(self.loader)
        with backends.backend(self.backend):
            self.generator, self.discriminator = models.build(config.model, random.generator([config.seed, 0]))
            self.fixed = latents(64, config.latent, random.generator([config.seed, 2]))
        self.noise = random.generator([config.seed, 1])
        self.opt_g = Adam(self.generator.parameters(), config.lr, BETAS)
        self.opt_d = Adam(self.discriminator.parameters(), config.lr_d or config.lr, BETAS)
        self.d_loss = partial(discriminator, smoothing=config.smoothing)
        self.g_loss = GENERATOR_LOSSES[config.loss]
        self.metrics: list[dict[str, Any]] = []
        self._unread: list[tuple[Tensor, Tensor]] = []
        files.new_run(self.out)
        files.write(self.out / "config.json", config.to_json())

    def run(self) -> None:
        """Train to the end, with a progress bar on a terminal; `TrainingFailed` when a loss is not finite."""
        from tqdm import tqdm

        self.save_samples(0)
        with tqdm(total=self.steps, unit="step", disable=None, desc=str(self.out)) as bar:
            for step in range(1, self.steps + 1):
                epoch = self.loader.epoch
                self._unread.append(self.step())
                ended = self.loader.epoch > epoch or step == self.steps
                if len(self._unread) == READ_EVERY or ended:
                    self.read_losses(step, epoch + 1)
                    latest = self.metrics[-1]
                    bar.set_postfix(D=f"{latest['loss_d']:.3f}", G=f"{latest['loss_g']:.3f}", refresh=False)
                bar.update()
                if ended:
                    self.save(epoch + 1)

    def step(self) -> tuple[Tensor, Tensor]:
        """One adversarial step on the next batch: the losses of D and G."""
        (real,) = self.loader.next()
        with backends.backend(self.backend):
            real = Tensor(real, copy=False)
            z = latents(len(real), self.config.latent, self.noise)
        players, optimizers = (self.generator, self.discriminator), (self.opt_g, self.opt_d)
        with repeatable(*players):
            return adversarial_step(*players, *optimizers, real, z, self.d_loss, self.g_loss)

    def read_losses(self, step: int, epoch: int) -> None:
        """Note the mean of the losses since the last reading."""
        loss_d, loss_g = (
            math.fsum(loss.item() for loss in column) / len(column) for column in zip(*self._unread, strict=True)
        )
        self._unread.clear()
        for name, value in (("discriminator", loss_d), ("generator", loss_g)):
            if not math.isfinite(value):
                raise TrainingFailed(
                    f"the {name}'s loss is {value} at step {step}, epoch {epoch}: training has diverged; try a lower --lr "
                    f"than {self.config.lr}; the files of epoch {epoch - 1} in {self.out} are kept"
                )
        self.metrics.append({"step": step, "epoch": epoch, "loss_d": loss_d, "loss_g": loss_g})

    def save(self, epoch: int) -> None:
        """Write the files of an epoch, each whole."""
        from safetensors.numpy import save

        files.write(self.out / "metrics.jsonl", "".join(json.dumps(m) + "\n" for m in self.metrics))
        files.write(self.out / "losses.png", pictures.losses(self.metrics))
        files.write(self.out / "generator.safetensors", save(self.generator.state_dict(), {"model": self.config.model}))
        self.save_samples(epoch)

    def save_samples(self, epoch: int) -> None:
        """Draw the fixed latents' images, as ``samples-NNN.png`` and ``samples.png``."""
        picture = pictures.grid(generate(self.generator, self.fixed))
        files.write(self.out / f"samples-{epoch:03d}.png", picture)
        files.write(self.out / "samples.png", picture)
