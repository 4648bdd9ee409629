"""Training: steps, epochs, files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from weakref import proxy

from minigan import backends, data
from minigan.autodiff import Tensor, no_grad
from minigan.backends import random
from minigan.errors import RunError, TrainingFailed
from minigan.gan import checkpoint, files, interrupts, pictures, report, resume
from minigan.gan.captured import Captured
from minigan.gan.conditional import Given
from minigan.gan.config import TrainConfig, fraction_left
from minigan.gan.ema import EMA
from minigan.gan.losses import Loss
from minigan.gan.noise import InstanceNoise
from minigan.gan.penalties import PENALTIES
from minigan.gan.points import Standardise
from minigan.gan.readings import EVERY, Readings
from minigan.gan.run import Run, generate, latents, repeatable
from minigan.gan.step import adversarial_step, discriminator_step
from minigan.nn import Module
from minigan.optim import Adam

GOOD = "generator-good.safetensors"


class Trainer:
    """One run: both players, their optimisers, the data, and the folder where the results go.

    After every epoch the folder holds whole files: ``samples.png`` (from the same 64 latents each time, and one
    ``samples-NNN.png`` an epoch), ``losses.png``, ``metrics.jsonl``, ``generator.safetensors``, ``report.html`` with all of
    these, and a checkpoint, from which `resume` goes on. The same seed gives the same run, bit for bit, stopped and resumed or not.

    A device that can record a step launches it as a whole, see `Captured`; where it cannot, a line on the terminal says why.

    A `monitor.Monitor` looks at every reading; what it warns of is printed and stands in ``metrics.jsonl``. While an epoch
    ends with something amiss, ``generator-good.safetensors`` is the generator of the last one that did not.

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
        self._build(config)
        files.new_run(self.out, config.to_json())

    @classmethod
    def resume(cls, folder: str | Path, **changes: Any) -> Trainer:
        """Go on from the newest whole checkpoint of a run, bit for bit as if it had not been stopped.

        Args:
            folder: the run's.
            changes: settings that are to be others from now on, such as ``steps=2000``.

        Raises:
            RunError: no checkpoint that is whole, settings in ``config.json`` that are others than the checkpoint's and not
                named here, data that changed since.

        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     mg.gan.Trainer(mg.gan.TrainConfig("gan", steps=1, out=pathlib.Path(folder))).run()
        ...     trainer = mg.gan.Trainer.resume(folder, steps=3)
        ...     trainer.done, trainer.steps
        (1, 3)
        """
        folder = Path(folder)
        written = TrainConfig.read(folder)
        arrays, state = checkpoint.newest(folder)
        settled, before = (TrainConfig(**state[name], out=folder) for name in ("config", "before"))
        trainer = cls.__new__(cls)
        trainer._build(settled.changed(settled if written == before else written, changes))
        resume.restore(trainer, arrays, state, changes)
        trainer.before = written
        return trainer

    def _build(self, config: TrainConfig) -> None:
        """All that the settings say, as it is before the first step."""
        self.config = self.before = config
        self.backend = config.backend or backends.current().name
        if config.threads is not None:
            backends.set_threads(config.threads)
        home = backends.get(self.backend)  # one that cannot be used is said before anything is read or written
        if config.precision not in home.precisions:
            raise RunError(
                f"precision {config.precision} is for products on a GPU: add --backend cupy, or leave it out"
            )
        home.precision = config.precision
        self.out = config.folder
        self.images, labels = data.load(config.data, config.size, config.channels)
        if config.batch_size > len(self.images):
            raise RunError(f"a batch of {config.batch_size} is larger than the data, {len(self.images)} images")
        arrays = (self.images, labels) if config.conditional else (self.images,)
        self.fingerprint = data.fingerprint(*arrays)
        self.loader = data.Loader(*arrays, batch_size=config.batch_size, seed=config.seed)
        self.steps = config.steps or config.epochs * len(self.loader)
        with backends.backend(self.backend):
            self.generator, self.discriminator = config.players(random.generator([config.seed, 0]))
            self.fixed = self._latents(config.shown, random.generator([config.seed, 2]))
        self.scale = 1.0  # of instance noise
        for layer in (*self.generator.modules(), *self.discriminator.modules()):
            if isinstance(layer, Standardise):
                layer.fit(self.images)
                self.scale = layer.std.item()
        self.noise = random.generator([config.seed, 1])
        betas = config.beta1, config.beta2
        self.opt_g = Adam(self.generator.parameters(), config.lr, betas)
        self.opt_d = Adam(self.discriminator.parameters(), config.lr_d or config.lr, betas)
        self.ema = None if config.ema is None else EMA(self.generator, config.ema)
        self.loss = config.losses()
        self.snow = random.generator([config.seed, 3])  # of instance noise and of penalties
        self.critic = InstanceNoise(self.discriminator, config.instance_noise, self.snow)
        self.readings = Readings(config, (self.generator, self.discriminator), self.images)
        self._notes: list[str] = []  # to be said
        turns = partial(Trainer._turns, proxy(self))  # no cycle, so that memory goes back at once
        self._captured = Captured(turns, self.generator, self.discriminator, say=self._notes.append)
        self.done = 0
        self.good = False  # whether the last whole epoch ended with nothing amiss

    def run(self) -> None:
        """Train to the end, with a progress bar on a terminal.

        Ctrl-C lets the step end, and saves; a second one stops at once.

        Raises:
            TrainingFailed: a loss, a gradient or an image is not finite; or a warning, where the settings say to stop on one.
            RunError: another process writes to the folder, or has gone on with the run; a checkpoint cannot be written.
        """
        from tqdm import tqdm

        with (
            files.locked(self.out),
            interrupts.held() as interrupted,
            tqdm(total=self.steps, initial=self.done, unit="step", disable=None, desc=str(self.out)) as bar,
        ):
            if checkpoint.latest(self.out) > self.done:
                raise RunError(
                    f"{self.out} has gone on to step {checkpoint.latest(self.out)} meanwhile; resume it again"
                )
            if self.done:  # in this order a stop in between leaves settings that `resume` knows
                checkpoint.save(self.out, self.done, *resume.state(self))
                files.write(self.out / "config.json", self.config.to_json())
            else:
                self.save_samples(0)
            try:
                warnings = self._train(bar, interrupted)
                if checkpoint.latest(self.out) < self.done:  # in the middle of an epoch
                    self.save(self.loader.epoch + 1)
            except TrainingFailed:
                self._keep_good()
                raise
            if warnings and self.config.stop_on_warning:
                raise TrainingFailed(
                    f"stopped at step {self.done}, as --stop-on-warning asks: {'; '.join(warnings)}; {self.out} is saved, and "
                    f"minigan train --resume {self.out} goes on nevertheless"
                )

    def _train(self, bar: Any, interrupted: Any) -> list[str]:
        """Steps to the end, or to an interrupt, or to a warning that is to stop: the warnings of the last reading."""
        warnings: list[str] = []
        while self.done < self.steps and not interrupted and not (warnings and self.config.stop_on_warning):
            epoch = self.loader.epoch + 1
            losses = self.step()
            self.readings.unread.append((*losses, *self._logits))
            self.done += 1
            while self._notes:
                bar.write(f"minigan: {self.out}: {self._notes.pop()}", file=sys.stderr)
            ended = self._ended(epoch)
            if len(self.readings.unread) == EVERY or ended:
                row = self.readings.read(self.done, epoch)
                if ended:
                    row |= self.readings.samples(self.kept, self._fixed_samples(), self.done, epoch)
                if warnings := self.readings.add(row):
                    bar.write("\n".join(f"minigan: warning: {self.out}: {w}" for w in warnings), file=sys.stderr)
                bar.set_postfix(D=f"{row['loss_d']:.3f}", G=f"{row['loss_g']:.3f}", refresh=False)
            bar.update()
            if ended:
                self.save(epoch)
        return warnings

    def step(self) -> tuple[Tensor, Tensor]:
        """One adversarial step on the next batch, after D's steps alone where it has several: the losses of D and G."""
        config = self.config
        over, left = config.instance_noise_steps, fraction_left(config.lr_decay, self.done / self.steps)
        sigma = self.scale * config.instance_noise * (1 if over is None else max(0.0, 1 - self.done / over))
        self.opt_g.lr, self.opt_d.lr = config.lr * left, (config.lr_d or config.lr) * left
        turns = range(self.done * config.d_steps, (self.done + 1) * config.d_steps)
        drawn = [tensor for _ in turns for tensor in self._drawn()]
        with repeatable(self.generator, self.discriminator):
            weights = tuple(map(self._weight, turns))
            loss_d, loss_g, *self._logits = self._captured(*drawn, loss=self.loss, weights=weights, sigma=sigma)
        return loss_d, loss_g

    def _turns(self, *drawn: Tensor, loss: Loss, weights: tuple[float | None, ...], sigma: float) -> tuple[Tensor, ...]:
        """All of a step but what it is drawn from, as a device may record it: both losses, and D's logits in its last turn.

        Args:
            drawn: what `_drawn` gives, for every turn of D.
            loss: of both players.
            weights: of each turn's penalty.
            sigma: of instance noise.
        """
        self.critic.sigma = sigma
        size = len(drawn) // len(weights)
        logits: tuple[Tensor, ...] = ()

        def d_loss(real: Tensor, fake: Tensor) -> Tensor:
            nonlocal logits
            logits = real.detach(), fake.detach()
            return loss.discriminator(real, fake)

        *alone, last = (self._turn(*drawn[i : i + size]) for i in range(0, len(drawn), size))
        for (generator, critic, real, z), weight in zip(alone, weights, strict=False):
            with no_grad():
                fake = generator(z)
            discriminator_step(critic, self.opt_d, real, fake, d_loss, self._penalty(weight))
        generator, critic, real, z = last
        losses = adversarial_step(
            generator, critic, self.opt_g, self.opt_d, real, z, d_loss, loss.generator, paired=loss.paired,
            penalty=self._penalty(weights[-1]),
        )  # fmt: skip
        if self.ema:
            self.ema.update()
        return *losses, *logits

    def _weight(self, turn: int) -> float | None:
        """Of the penalty in D's turn of that number, if it has one (lazy regularisation of Karras et al. 2020)."""
        config = self.config
        if config.penalty == "none" or turn % config.penalty_every:
            return None
        usual = PENALTIES[config.penalty].weight
        weight = usual if config.penalty_weight is None else config.penalty_weight
        if config.penalty_weight_last is not None:
            weight *= (config.penalty_weight_last / weight) ** (self.done / self.steps)
        return weight * config.penalty_every

    def _penalty(self, weight: float | None) -> Callable[..., Tensor] | None:
        return None if weight is None else partial(PENALTIES[self.config.penalty], weight=weight, rng=self.snow)

    def _drawn(self) -> tuple[Tensor, ...]:
        """What a turn starts from: the next batch's real images, as many latents, and labels if the players are told some."""
        images, *labels = self.loader.next()
        with backends.backend(self.backend):
            told = (Tensor(numbers, copy=False) for numbers in labels)
            return Tensor(images, copy=False), self._latents(len(images), self.noise), *told

    def _turn(self, *drawn: Tensor) -> tuple[Module, Module, Tensor, Tensor]:
        """Both players, told the labels if they are to know; real images, and as many latents."""
        real, z, *labels = drawn or self._drawn()
        generator, critic = (Given(player, *labels) if labels else player for player in (self.generator, self.critic))
        return generator, critic, real, z

    def _latents(self, n: int, rng: random.Generator) -> Tensor:
        return latents(n, self.config.latent, rng, self.config.latent_size)

    @property
    def kept(self) -> Module:
        """The generator that samples are drawn from: its average where there is one."""
        return self.ema.module if self.ema else self.generator

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """Readings of ten steps at a time.

        Each has the means of both losses and of D's logits, ``d_real`` and ``d_fake``; the norms of the last step's gradients,
        ``grad_d`` and ``grad_g``; ``warnings``, if there are any; and at an epoch's end ``distance``, the mean distance between
        the fixed samples over that between real images, and the judge's figures.
        """
        rows, waiting = self.readings.rows, self.readings.unread
        return [*rows, self.readings.read(self.done, self.loader.epoch + 1)] if waiting else list(rows)

    def _keep_good(self) -> None:
        """Keep the last good epoch's generator, before it is written over."""
        if self.good and not (self.out / GOOD).exists():
            files.write(self.out / GOOD, (self.out / "generator.safetensors").read_bytes())

    def save(self, epoch: int) -> None:
        """Write the files of an epoch, each whole, and the checkpoint last."""
        from safetensors.numpy import save

        metrics, ended = self.metrics, self._ended(epoch)
        if self.readings.monitor.active or not ended:
            self._keep_good()
        files.write(self.out / "metrics.jsonl", "".join(json.dumps(m) + "\n" for m in metrics))
        files.write(self.out / "losses.png", pictures.losses(metrics))
        files.write(self.out / "generator.safetensors", save(self.kept.state_dict(), {"model": self.config.model}))
        self.save_samples(epoch)
        if ended:
            self.good = not self.readings.monitor.active
            if self.good:
                (self.out / GOOD).unlink(missing_ok=True)  # generator.safetensors is that
        with suppress(OSError):  # a page is not worth a run
            report.write(self.out, Run(self.config, self.kept), self.images)
        checkpoint.save(self.out, self.done, *resume.state(self))

    def _ended(self, epoch: int) -> bool:
        """Whether that epoch is over, and one of those that are looked at: each `save_every`-th, and the last."""
        return self.loader.epoch >= epoch and (epoch % self.config.save_every == 0 or self.done == self.steps)

    def save_samples(self, epoch: int) -> None:
        """Draw what is made of the fixed latents, as ``samples-NNN.png`` and ``samples.png``."""
        picture = pictures.samples(self._fixed_samples(), self.config.labels(len(self.fixed)), self.config.data)
        files.write(self.out / f"samples-{epoch:03d}.png", picture)
        files.write(self.out / "samples.png", picture)

    def _fixed_samples(self) -> Any:
        """What the generator that is kept makes of the fixed latents, on the host."""
        return generate(self.kept, self.fixed, self.config.labels(len(self.fixed)))
