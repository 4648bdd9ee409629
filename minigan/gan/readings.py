"""What is read off a run while it trains: the rows of ``metrics.jsonl``."""

from __future__ import annotations

import math
from typing import Any

from minigan import data
from minigan.autodiff import Tensor
from minigan.errors import TrainingFailed
from minigan.gan.config import TrainConfig
from minigan.gan.evaluation import evaluate
from minigan.gan.monitor import Monitor, gradient_norm, spread
from minigan.gan.run import Run, repeatable
from minigan.nn import Module

EVERY = 10  # steps between two readings
LOOKS = ("loss_d", "loss_g", "d_real", "d_fake")  # of each step
MEANING = {  # of what must be finite
    "loss_d": "the discriminator's loss",
    "loss_g": "the generator's loss",
    "d_real": "the discriminator's mean logit of real images",
    "d_fake": "the discriminator's mean logit of generated images",
    "grad_d": "the norm of the discriminator's gradient",
    "grad_g": "the norm of the generator's gradient",
    "distance": "the mean distance between the generator's images",
}


class Readings:
    """The rows of a run so far, and the steps that wait for the next one.

    Losses and logits stay where they were computed until a reading, so that a step never waits for the host.

    Args:
        config: the run's settings.
        players: generator and discriminator.
        images: what it is trained on.

    Attributes:
        rows: the readings.
        unread: of each step since, both losses and D's logits of real and of generated images.
        monitor: looks at every row.
    """

    def __init__(self, config: TrainConfig, players: tuple[Module, Module], images: Any) -> None:
        self.config, self.players, self.images = config, players, images
        self.rows: list[dict[str, Any]] = []
        self.unread: list[tuple[Any, ...]] = []
        self.monitor = Monitor(config.losses(), config.penalty != "none")
        self._real_spread = spread(images[:: -(-len(images) // 64)])

    def read(self, step: int, epoch: int) -> dict[str, Any]:
        """The row of the steps that wait, which go on waiting.

        Raises:
            TrainingFailed: something is not finite.
        """
        self.unread = [tuple(map(_mean, values)) for values in self.unread]
        for values in self.unread:
            self._finite(dict(zip(LOOKS, values, strict=True)), step, epoch)
        means = (math.fsum(column) / len(column) for column in zip(*self.unread, strict=True))
        generator, discriminator = self.players
        with repeatable(generator, discriminator):
            norms = {"grad_d": gradient_norm(discriminator), "grad_g": gradient_norm(generator)}
        row = dict(zip(LOOKS, means, strict=True)) | {k: norm for k, norm in norms.items() if norm is not None}
        return {"step": step, "epoch": epoch} | self._finite(row, step, epoch)

    def samples(self, kept: Module, fixed: Any, step: int, epoch: int) -> dict[str, Any]:
        """What an epoch's row says of the generator that is kept: `fixed` samples' distance from each other, and the judge.

        Raises:
            TrainingFailed: the distance is not finite.
        """
        row: dict[str, Any] = {}
        if self._real_spread:  # else real images are all the same
            row |= self._finite({"distance": spread(fixed) / self._real_spread}, step, epoch)
        if self.config.judge and (self.config.model == "toy" or data.classes(self.config.data)):
            figures = evaluate(Run(self.config, kept), self.config.judge, training=self.images)
            row |= {name: value for name, value in figures.items() if name not in ("n", "seed", "judge")}
        return row

    def add(self, row: dict[str, Any]) -> list[str]:
        """Take a row of all that waited; the monitor's warnings, which are in it from now on."""
        if warnings := self.monitor.observe(row):
            row["warnings"] = warnings
        self.rows.append(row)
        self.unread.clear()
        return warnings

    def restore(self, rows: list[dict[str, Any]], unread: list[list[float]]) -> None:
        """Go on from rows and steps that were saved."""
        self.rows, self.unread = rows, [tuple(values) for values in unread]
        for row in rows:  # all that the monitor knows
            self.monitor.observe(row)

    def _finite(self, row: dict[str, Any], step: int, epoch: int) -> dict[str, Any]:
        """The row, if all of it is; else `TrainingFailed`, with what was seen before."""
        for name, value in row.items():
            if not math.isfinite(value):
                before = [w for r in self.rows for w in r.get("warnings", ())]
                raise TrainingFailed(
                    f"{MEANING[name]} is {value} at step {step}, epoch {epoch}: training has diverged; try a lower --lr than "
                    f"{self.config.lr}; the files of epoch {epoch - 1} in {self.config.folder} are kept"
                    + "".join(f"; before that: {w}" for w in before[-3:])
                )
        return row


def _mean(value: Any) -> float:
    """Of a Tensor's values on the host; a number, which has been read, as it is."""
    return float(value.numpy().mean(dtype="float64")) if isinstance(value, Tensor) else value
