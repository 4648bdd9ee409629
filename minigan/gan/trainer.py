"""Training: steps, epochs, files."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from minigan import backends, data
from minigan.autodiff import Tensor, no_grad
from minigan.backends import random
from minigan.errors import RunError, TrainingFailed
from minigan.gan import checkpoint, files, interrupts, pictures, report
from minigan.gan.config import TrainConfig
from minigan.gan.ema import EMA
from minigan.gan.evaluation import evaluate
from minigan.gan.monitor import Monitor, gradient_norm, spread
from minigan.gan.noise import InstanceNoise
from minigan.gan.penalties import PENALTIES
from minigan.gan.run import Run, generate, latents, repeatable
from minigan.gan.step import adversarial_step, discriminator_step
from minigan.nn import Module
from minigan.optim import Adam

READ_EVERY = 10  # steps between two readings
PLAYERS = ("generator", "discriminator")
OPTIMIZERS = ("opt_g", "opt_d")
GOOD = "generator-good.safetensors"
MEANING = {  # of what must be finite
    "loss_d": "the discriminator's loss",
    "loss_g": "the generator's loss",
    "d_real": "the discriminator's mean logit of real images",
    "d_fake": "the discriminator's mean logit of generated images",
    "grad_d": "the norm of the discriminator's gradient",
    "grad_g": "the norm of the generator's gradient",
    "distance": "the mean distance between the generator's images",
}
BETAS = (0.5, 0.999)  # Radford et al. (2016)


class Trainer:
    """One run: both players, their optimisers, the data, and the folder where the results go.

    After every epoch the folder holds whole files: ``samples.png`` (from the same 64 latents each time, and one
    ``samples-NNN.png`` an epoch), ``losses.png``, ``metrics.jsonl``, ``generator.safetensors``, ``report.html`` with all of
    these, and a checkpoint, from which `resume` goes on. The same seed gives the same run, bit for bit, stopped and resumed or not.

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
        trainer._restore(arrays, state, changes)
        trainer._before = written
        return trainer

    def _build(self, config: TrainConfig) -> None:
        """All that the settings say, as it is before the first step."""
        self.config = self._before = config
        self.backend = config.backend or backends.current().name
        if config.threads is not None:
            backends.set_threads(config.threads)
        backends.get(self.backend)  # one that cannot be used is said before anything is read or written
        self.out = config.out or Path("runs") / config.model
        images, _ = data.load(config.data, config.size, config.channels)
        if config.batch_size > len(images):
            raise RunError(f"a batch of {config.batch_size} is larger than the data, {len(images)} images")
        self.images, self.fingerprint = images, data.fingerprint(images)
        self.loader = data.Loader(images, batch_size=config.batch_size, seed=config.seed)
        self.steps = config.steps or config.epochs * len(self.loader)
        with backends.backend(self.backend):
            self.generator, self.discriminator = config.players(random.generator([config.seed, 0]))
            self.fixed = latents(64, config.latent, random.generator([config.seed, 2]))
        self.noise = random.generator([config.seed, 1])
        self.opt_g = Adam(self.generator.parameters(), config.lr, BETAS)
        self.opt_d = Adam(self.discriminator.parameters(), config.lr_d or config.lr, BETAS)
        self.ema = None if config.ema is None else EMA(self.generator, config.ema)
        self.loss = config.losses()
        self.snow = random.generator([config.seed, 3])  # of instance noise and of penalties
        self.critic = InstanceNoise(self.discriminator, config.instance_noise, self.snow)
        self.penalty = config.penalty and partial(
            PENALTIES[config.penalty], weight=config.penalty_weight, rng=self.snow
        )
        self.monitor = Monitor(self.loss, bool(self.penalty))
        self._real_spread = spread(images[:: -(-len(images) // len(self.fixed))])
        self.done = 0
        self._good = False  # whether the last whole epoch ended with nothing amiss
        self._rows: list[dict[str, Any]] = []
        self._unread: list[tuple[Any, ...]] = []  # both losses, and D's logits of real and of generated images

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
                checkpoint.save(self.out, self.done, *self._state())
                files.write(self.out / "config.json", self.config.to_json())
            else:
                self.save_samples(0)
            warnings: list[str] = []
            while self.done < self.steps and not interrupted and not (warnings and self.config.stop_on_warning):
                epoch = self.loader.epoch
                losses = self.step()
                self._unread.append((*losses, *self._logits))
                self.done += 1
                if len(self._unread) == READ_EVERY or self.loader.epoch > epoch:
                    latest = self._reading(epoch + 1)
                    if self.loader.epoch > epoch:
                        latest |= self._distance(epoch + 1) | self._judged()
                    if warnings := self.monitor.observe(latest):
                        latest["warnings"] = warnings
                        bar.write("\n".join(f"minigan: warning: {self.out}: {w}" for w in warnings), file=sys.stderr)
                    self._rows.append(latest)
                    self._unread.clear()
                    bar.set_postfix(D=f"{latest['loss_d']:.3f}", G=f"{latest['loss_g']:.3f}", refresh=False)
                bar.update()
                if self.loader.epoch > epoch:
                    self.save(epoch + 1)
            if checkpoint.latest(self.out) < self.done:  # in the middle of an epoch
                self.save(self.loader.epoch + 1)
            if warnings and self.config.stop_on_warning:
                raise TrainingFailed(
                    f"stopped at step {self.done}, as --stop-on-warning asks: {'; '.join(warnings)}; {self.out} is saved, and "
                    f"minigan train --resume {self.out} goes on nevertheless"
                )

    def step(self) -> tuple[Tensor, Tensor]:
        """One adversarial step on the next batch, after D's steps alone where it has several: the losses of D and G."""
        over = self.config.instance_noise_steps
        self.critic.sigma = self.config.instance_noise * (1 if over is None else max(0.0, 1 - self.done / over))
        loss = self.loss
        with repeatable(self.generator, self.discriminator):
            for _ in range(self.config.d_steps - 1):
                real, z = self._batch()
                with no_grad():
                    fake = self.generator(z)
                discriminator_step(self.critic, self.opt_d, real, fake, self._noted, self.penalty)
            losses = adversarial_step(
                self.generator, self.critic, self.opt_g, self.opt_d, *self._batch(), self._noted, loss.generator,
                paired=loss.paired, penalty=self.penalty,
            )  # fmt: skip
            if self.ema:
                self.ema.update()
        return losses

    def _noted(self, real: Tensor, fake: Tensor) -> Tensor:
        """D's loss, with a look at its logits, which stay where they are until the next reading."""
        self._logits = real.detach(), fake.detach()
        return self.loss.discriminator(real, fake)

    def _batch(self) -> tuple[Tensor, Tensor]:
        """Real images, and as many latents."""
        (real,) = self.loader.next()
        with backends.backend(self.backend):
            return Tensor(real, copy=False), latents(len(real), self.config.latent, self.noise)

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
        return [*self._rows, self._reading(self.loader.epoch + 1)] if self._unread else list(self._rows)

    def _judged(self) -> dict[str, Any]:
        """What the judge says of the generator; nothing where it is not asked, or knows nothing of such images."""
        if not self.config.judge or self.config.data.startswith("folder:"):
            return {}
        figures = evaluate(Run(self.config, self.kept), self.config.judge, training=self.images)
        return {name: value for name, value in figures.items() if name not in ("n", "seed", "judge")}

    def _distance(self, epoch: int) -> dict[str, float]:
        """How far apart the fixed samples are, beside real images; nothing where those are all the same."""
        if not self._real_spread:
            return {}
        return self._finite({"distance": spread(generate(self.kept, self.fixed)) / self._real_spread}, epoch)

    def _reading(self, epoch: int) -> dict[str, Any]:
        """What `metrics` says of the steps since the last reading; `TrainingFailed` where something is not finite."""
        self._unread = [tuple(map(_mean, values)) for values in self._unread]
        names = ("loss_d", "loss_g", "d_real", "d_fake")
        for values in self._unread:
            self._finite(dict(zip(names, values, strict=True)), epoch)
        means = (math.fsum(column) / len(column) for column in zip(*self._unread, strict=True))
        with repeatable(self.generator, self.discriminator):
            norms = {"grad_d": gradient_norm(self.discriminator), "grad_g": gradient_norm(self.generator)}
        row = dict(zip(names, means, strict=True)) | {k: norm for k, norm in norms.items() if norm is not None}
        return {"step": self.done, "epoch": epoch} | self._finite(row, epoch)

    def _finite(self, row: dict[str, float], epoch: int) -> dict[str, float]:
        """The row, if all of it is; else `TrainingFailed`, with what was seen before."""
        for name, value in row.items():
            if not math.isfinite(value):
                self._keep_good()
                before = [w for r in self._rows for w in r.get("warnings", ())]
                raise TrainingFailed(
                    f"{MEANING[name]} is {value} at step {self.done}, epoch {epoch}: training has diverged; try a lower --lr than "
                    f"{self.config.lr}; the files of epoch {epoch - 1} in {self.out} are kept"
                    + "".join(f"; before that: {w}" for w in before[-3:])
                )
        return row

    def _keep_good(self) -> None:
        """Keep the last good epoch's generator, before it is written over."""
        if self._good and not (self.out / GOOD).exists():
            files.write(self.out / GOOD, (self.out / "generator.safetensors").read_bytes())

    def save(self, epoch: int) -> None:
        """Write the files of an epoch, each whole, and the checkpoint last."""
        from safetensors.numpy import save

        metrics, ended = self.metrics, self.loader.epoch >= epoch
        if self.monitor.active or not ended:
            self._keep_good()
        files.write(self.out / "metrics.jsonl", "".join(json.dumps(m) + "\n" for m in metrics))
        files.write(self.out / "losses.png", pictures.losses(metrics))
        files.write(self.out / "generator.safetensors", save(self.kept.state_dict(), {"model": self.config.model}))
        self.save_samples(epoch)
        if ended:
            self._good = not self.monitor.active
            if self._good:
                (self.out / GOOD).unlink(missing_ok=True)  # generator.safetensors is that
        with suppress(OSError):  # a page is not worth a run
            report.write(self.out, Run(self.config, self.kept), self.images)
        checkpoint.save(self.out, self.done, *self._state())

    def _state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """All that the next steps depend on: arrays, and what JSON can hold."""
        arrays = {f"{player}.{k}": a for player in PLAYERS for k, a in getattr(self, player).state_dict().items()}
        state: dict[str, Any] = {
            "config": json.loads(self.config.to_json()),
            "before": json.loads(self._before.to_json()),
            "step": self.done,
            "loader": self.loader.state_dict(),
            "data": self.fingerprint,
            "noise": self.noise.bit_generator.state,
            "snow": self.snow.bit_generator.state,
            "rows": self._rows,
            "unread": self._unread,
            "good": self._good,
        }
        if self.ema:
            state["ema.count"] = self.ema.count
            arrays |= {f"ema.{k}": a for k, a in self.ema.module.state_dict().items()}
        for name in OPTIMIZERS:
            for key, value in getattr(self, name).state_dict().items():
                (state if key in ("settings", "steps") else arrays)[f"{name}.{key}"] = value
        return arrays, state

    def _restore(self, arrays: dict[str, Any], state: dict[str, Any], changes: Mapping[str, Any]) -> None:
        """What `_state` gave, but for what is to change."""
        if "data" not in changes and state["data"] != self.fingerprint:
            raise RunError(
                f"{self.config.data} is not what {self.out} was trained on so far: its images have changed; put the old ones "
                f"back, or say that these are meant with --data {self.config.data}"
            )
        if {"data", "batch_size"} & set(changes):
            self.loader.start(state["loader"]["epoch"])
        else:
            self.loader.load_state_dict(state["loader"])
        for player in PLAYERS:
            getattr(self, player).load_state_dict(_within(arrays, player))
        for name in OPTIMIZERS:
            optimizer = getattr(self, name)
            settings = optimizer.settings
            optimizer.load_state_dict(_within(state, name) | _within(arrays, name))
            optimizer.settings = settings  # as `changes` may have made them
        if self.ema and "ema.count" in state:
            self.ema.load_state_dict({"count": state["ema.count"], "module": _within(arrays, "ema")})
        elif self.ema:
            self.ema = EMA(self.generator, self.ema.decay)
        self.noise.bit_generator.state = state["noise"]
        self.snow.bit_generator.state = state["snow"]
        self.done, self._rows, self._unread = state["step"], state["rows"], [tuple(p) for p in state["unread"]]
        self._good = state["good"]
        for row in self._rows:  # all that the monitor knows
            self.monitor.observe(row)

    def save_samples(self, epoch: int) -> None:
        """Draw the fixed latents' images, as ``samples-NNN.png`` and ``samples.png``."""
        picture = pictures.grid(generate(self.kept, self.fixed))
        files.write(self.out / f"samples-{epoch:03d}.png", picture)
        files.write(self.out / "samples.png", picture)


def _mean(value: Any) -> float:
    """Of a Tensor's values on the host; a number, which has been read, as it is."""
    return float(value.numpy().mean(dtype="float64")) if isinstance(value, Tensor) else value


def _within(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """What stands under a prefix, without it."""
    return {key.removeprefix(f"{prefix}."): value for key, value in values.items() if key.startswith(f"{prefix}.")}
