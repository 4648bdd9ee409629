"""What goes wrong in a run, seen in its readings: rows in, warnings out, without a clock and without chance.

The sizes below were chosen on runs of both presets and on runs made to fail, in `tests/gan/test_monitor.py`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, reduce
from operator import add
from statistics import median
from typing import Any, TypeAlias

from minigan.autodiff import Tensor, no_grad
from minigan.gan.losses import Loss
from minigan.nn import Module

Row: TypeAlias = Mapping[str, Any]

SURE = 0.06  # of what D has to gain over knowing nothing; healthy runs come down to 0.08 for one reading
THROWN = 3.0  # of the same, lost; healthy runs stay below 1.1, rates fifty times too large have 10 and 25
ALIKE = 0.05  # of real images' distance; untrained generators have 0.15 (gan) and 0.29 (dcgan)
FALLEN = 0.4  # of the run's own largest distance; healthy runs stay above 0.8, once there are digits
FEW = 0.25  # of real digits' entropy; a healthy run of gan has come to half of it at step 2,500, one of dcgan to 0.8 at 156
LATE = 3000  # steps until a run must have had more than that; before, one blurred class is what healthy runs have, too
EXPLODED = 100.0  # times the median; healthy runs stay within 10
VANISHED = 1e-3  # of the median
STILL = 1e-6  # a gradient's norm: of 10,000 weights, each at Adam's eps of 1e-8, below which it no longer moves them
HUGE = 1e4  # a loss: far above any distance of images, which Wasserstein's estimates
RECENT = 50  # readings that a median is of
FEWEST = 5  # readings that make a median
GONE = 100  # steps without it after which a trouble counts as gone

PATIENCE = {  # steps that a trouble must have lasted before it is said: healthy runs show none of them even for one reading,
    # but for samples alike at the start; a player whose gradient jumps for a reading or two comes back
    "saturated": 50,
    "thrown": 0,
    "collapsed": 300,
    "few classes": 300,
    "exploded": 20,
    "vanished": 50,
    "large loss": 0,
}
USUAL = {  # what usually helps
    "saturated": "lower --lr-d, or add --instance-noise 0.1 or a --penalty",
    "thrown": "lower --lr",
    "collapsed": "try a lower --lr, a --penalty or another --loss; generator-good.safetensors, if there, is from before",
    "few classes": "try a lower --lr, a --penalty or another --loss; generator-good.safetensors, if there, is from before",
    "exploded": "lower --lr, or add --norm spectral or a --penalty",
    "vanished": "lower --lr and --lr-d, and take --loss non-saturating if it is not that",
    "large loss": "lower --lr, or hold D back with --norm spectral or a --penalty",
}
PLAYERS = {"d": "discriminator", "g": "generator"}


@dataclass
class _Event:
    """Whether a trouble is on, and since which step rows have said the contrary, if they do."""

    on: bool = False
    since: int | None = None

    def turns(self, seen: bool, step: int, patience: int) -> bool:
        """Take one row's word; whether the trouble begins or ends with it."""
        if seen == self.on:
            self.since = None
            return False
        if self.since is None:
            self.since = step
        if step - self.since < (GONE if self.on else patience):
            return False
        self.on = seen
        return True


class Monitor:
    """Looks at a run's readings, one after the other, and says what goes wrong.

    Each trouble is said once, when it has lasted for a while, and again only if it comes back after having gone: D tells
    real and generated images apart almost surely, or is sure and wrong; samples are nearly alike, or of few classes to the
    judge; a gradient explodes beside its own running median, or vanishes; a loss is near infinity.

    Args:
        loss: the players'; of D's it must be known what certainty is worth.
        penalised: whether there is a penalty in D's loss, which may then be large without D being wrong.

    >>> watch = mg.gan.monitor.Monitor(mg.gan.losses.LOSSES["hinge"])
    >>> watch.observe({"step": 10, "loss_d": 1.2, "loss_g": 0.3})
    []
    >>> watch.observe({"step": 20, "loss_d": 1.2, "loss_g": 5e6})
    ["step 20: the generator's loss is 5e+06; ..."]
    >>> watch.active
    {'g large loss'}
    """

    def __init__(self, loss: Loss, penalised: bool = False) -> None:
        self.bounds, self.penalised = bounds(loss), penalised
        self._events: dict[str, _Event] = {}
        self._widest = 0.0  # distance so far
        self._varied = False  # whether there ever were many classes
        self._norms: dict[str, deque[float]] = {player: deque(maxlen=RECENT) for player in PLAYERS}

    @property
    def active(self) -> set[str]:
        """What is amiss now."""
        return {name for name, event in self._events.items() if event.on}

    def observe(self, row: Row) -> list[str]:
        """The warnings that a row of ``metrics.jsonl`` gives rise to; rows come in their order.

        Args:
            row: with ``step``, and as much of the others as there is.

        >>> mg.gan.monitor.Monitor(mg.gan.losses.LOSSES["minimax"]).observe({"step": 10})
        []
        """
        warnings = []
        for name, seen, what in self._looks(row):
            kind = name.partition(" ")[2]
            event = self._events.setdefault(name, _Event())
            if event.turns(seen, row["step"], PATIENCE[kind]) and event.on:
                since = "" if event.since == row["step"] else f" since step {event.since}"
                warnings.append(f"step {row['step']}: {what}{since}; {USUAL[kind]}")
        return warnings

    def _looks(self, row: Row) -> Iterator[tuple[str, bool, str]]:
        """Of each trouble that the row can tell of: its name, whether it is seen, and how to say it."""
        if self.bounds and "loss_d" in row:
            sure, unsure = self.bounds
            left = (row["loss_d"] - sure) / (unsure - sure)
            logits = ", ".join(f"{k} {row[k]:.3g}" for k in ("d_real", "d_fake") if k in row)
            yield "d saturated", left < SURE, f"the discriminator has won: it is almost never wrong ({logits})"
            thrown = f"the discriminator is sure and wrong: its loss is {row['loss_d']:.2g}, and {unsure:.2g} when it knows nothing"
            yield "d thrown", left > THROWN and not self.penalised, thrown
        if "distance" in row:
            found = row["distance"]
            self._widest = max(self._widest, found)
            alike = f"the samples are nearly alike: {found:.2g} times as far apart as real images"
            yield "g collapsed", found < max(ALIKE, FALLEN * self._widest), alike
        if "entropy_of_mean" in row:
            found, real = row["entropy_of_mean"], row["entropy_of_mean_real"]
            self._varied |= found >= FEW * real
            classes = f"the samples are of few classes: their entropy is {found:.2g}, that of real digits {real:.2g}"
            yield "g few classes", found < FEW * real and (self._varied or row["step"] >= LATE), classes
        for player, name in PLAYERS.items():
            if f"loss_{player}" in row:
                loss = row[f"loss_{player}"]
                bounded = player == "d" and self.bounds and not self.penalised  # of which "thrown" tells
                yield f"{player} large loss", abs(loss) > HUGE and not bounded, f"the {name}'s loss is {loss:.3g}"
            if f"grad_{player}" in row:
                yield from self._gradient(player, row[f"grad_{player}"])

    def _gradient(self, player: str, norm: float) -> Iterator[tuple[str, bool, str]]:
        """A gradient beside the usual ones, which it joins only if it is one."""
        usual = self._norms[player]
        middle = median(usual) if len(usual) >= FEWEST else None
        large = middle is not None and norm > EXPLODED * middle
        small = norm < STILL or (middle is not None and norm < VANISHED * middle)
        if not large and not small:
            usual.append(norm)
        beside = "" if middle is None else f", {middle:.2g} before"
        what = f"the {PLAYERS[player]}'s gradient has {{}}: its norm is {norm:.2g}{beside}"
        yield f"{player} exploded", large, what.format("exploded")
        yield f"{player} vanished", small, what.format("vanished")


@cache
def bounds(loss: Loss) -> tuple[float, float] | None:
    """D's loss where it is sure of every image and right, and where it knows nothing; None where there is no such bound.

    >>> mg.gan.monitor.bounds(mg.gan.losses.LOSSES["hinge"])
    (0.0, 2.0)
    """
    if loss.name == "wasserstein":  # which has no least value, and whose critic may win
        return None

    def at(real: float, fake: float) -> float:
        return loss.discriminator(*(Tensor([v]) for v in (real, fake))).item()

    # targets make a logit of some size the best: 1 for least squares, log(t / (1 - t)) for smoothing
    return min(at(real, fake) for real in (i / 5 for i in range(-50, 51)) for fake in (-100.0, 0.0)), at(0.0, 0.0)


def gradient_norm(player: Module) -> float | None:
    """The Euclidean norm of the gradients of all parameters; None where there are none yet.

    >>> net = mg.nn.Dense(2, 1, bias=False, rng=0)
    >>> net(mg.tensor([[3.0, 4.0]])).sum().backward()
    >>> mg.gan.monitor.gradient_norm(net)
    5.0
    """
    gradients = [p.grad for p in player.parameters() if p.grad is not None]
    if not gradients:
        return None
    with no_grad():
        return math.sqrt(reduce(add, ((g * g).sum() for g in gradients)).item())


def spread(images: Any) -> float:
    """The mean Euclidean distance of pixels between two of some images; of all pairs, so that few images are meant.

    Args:
        images: (n, ...), n at least 1.

    >>> mg.gan.monitor.spread(np.array([[0.0], [1.0], [2.0]]))
    1.3333...
    """
    rows = images.reshape(len(images), -1).astype("float64")
    pairs = len(rows) * (len(rows) - 1)
    return sum(float((((rows - row) ** 2).sum(axis=1) ** 0.5).sum()) for row in rows) / max(pairs, 1)
