"""What a page of the lab is made of: frames of a run, each with the step that follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, grad
from minigan.backends import own_threads, random
from minigan.backends.pool import one_blas_thread
from minigan.data import toys
from minigan.data.sources import TOYS
from minigan.gan.losses import LOSSES
from minigan.gan.monitor import gradient_norm
from minigan.nn import Dense, Module
from minigan.study.lab import density
from minigan.study.lab.players import LOSS, Lab

FRAMES = 81  # with the one before the first step
SHOWN = ("minimax", "non-saturating", "least-squares", "wasserstein")  # whose gradients are compared
POINTS = 200  # with arrows
MANY = 1000  # that are counted at the modes
SIDE = 48  # of the picture of what D says
LINES, ALONG = 13, 49  # lines of equal z1, and as many of equal z2; points on each
NEAR = 10.0  # sigmas around a mode
ROOM = 1.5  # what is seen, over the farthest centre
OUTSIDE = 3.0  # how much farther lines are known
MODES = {"ring": (toys.RING_CENTRES, toys.RING_SIGMA), "grid": (toys.GRID_CENTRES, toys.GRID_SIGMA)}
Arrays = dict[str, Any]


@dataclass(frozen=True)
class Recording:
    """A run as arrays.

    Attributes:
        facts: what does not change, as JSON.
        constants: arrays that do not change.
        frames: arrays with one entry a frame. Floats are meant as they are, 8 bits as fractions of 255; 16 bits as fractions of
            65,535 of a square as wide as `facts` says.
        figures: of the last frame.
    """

    facts: Mapping[str, Any]
    constants: Arrays
    frames: Arrays
    figures: dict[str, float]


def record(data: str, steps: int = 2000, seed: int = 0, fixed_generator: bool = False) -> Recording:
    """Train, and keep `FRAMES` evenly spaced frames.

    A frame is the state after some steps, and the step that follows from there; so one more step is taken in the end.
    Arguments and errors are those of `minigan.study.lab`.
    """
    from tqdm import tqdm

    shots: list[Arrays] = []
    losses: list[list[tuple[float, float]]] = []
    at = frame_steps(steps)
    with (
        own_threads(False),
        one_blas_thread,
    ):  # more would be no faster, and how sums are rounded depends on their number
        lab = Lab(data, steps, seed, fixed_generator)
        stage = OnALine(lab, seed) if data == "line" else InAPlane(lab, seed)
        for step in tqdm(range(steps + 1), unit="step", disable=None, desc="lab"):
            real, z = lab.draw()
            if step not in at:
                losses[-1].append(lab.step(real, z))
                continue
            shot = stage.look() | {"fake": lab.made(z.numpy())}
            losses.append([lab.step(real, z)])
            shots.append(shot | slow_motion(lab, stage, real, z, shot["fake"], losses[-1][0]))
    frames = {name: np.stack([shot[name] for shot in shots]) for name in shots[0]}
    frames["losses"] = np.array([np.mean(part, axis=0) for part in losses], np.float32)
    facts = {
        "data": data,
        "seed": seed,
        "steps": steps,
        "at": at,
        "batch": lab.recipe.batch,
        "ahead": lab.ahead,
        "fixed": fixed_generator,
        "shown": SHOWN,
        "own": SHOWN.index(LOSS.name),
    }
    figures = {name: float(frames[name][-1]) for name in stage.figures}
    return Recording(facts | stage.facts, stage.constants, frames, figures)


def frame_steps(steps: int) -> list[int]:
    """After how many steps there is a frame: evenly spaced, the first and the last among them.

    >>> from minigan.study.lab.record import frame_steps
    >>> frame_steps(2000)[:4]
    [0, 25, 50, 75]
    """
    return sorted({round(steps * i / (FRAMES - 1)) for i in range(FRAMES)})


def slow_motion(
    lab: Lab, stage: OnALine | InAPlane, real: Tensor, z: Tensor, fake: Any, losses: tuple[float, float]
) -> Arrays:
    """The step that was just taken, in its parts."""
    return {
        "z": z.numpy(),
        "real": real.numpy(),
        "logits_real": lab.logits["real"][:, 0],
        "logits_fake": lab.logits["fake"][:, 0],
        "step_losses": np.array([lab.plain, *losses], np.float32),  # D's without and with its penalty, G's
        "norms_d": norms(lab.discriminator),
        "surface_after": stage.surface(),
        "logits_after": lab.logits["after"][:, 0],
        "push": arrows(lab.discriminator, fake, LOSS.generator),  # D has moved, and G's turn changes nothing in it
        "norms_g": norms(lab.generator),
        "moved": lab.made(z.numpy()),
    }


def arrows(discriminator: Module, x: Any, loss: Callable[[Tensor], Tensor]) -> Any:
    """-dL_G/dx at generated points x (n, d), with D as it is: where each would go, by the loss of G's on their logits."""
    x = Tensor(x, requires_grad=True)
    return -grad(loss(discriminator(x)), x).numpy()


def norms(player: Module) -> Any:
    """The norm of each layer's gradient, of its weight and its bias together."""
    return np.array([gradient_norm(layer) for layer in player.modules() if isinstance(layer, Dense)], np.float32)


class Stage:
    """What both kinds of page show: latents that stay the same, and what becomes of them."""

    facts: dict[str, Any]
    constants: Arrays
    figures: tuple[str, ...]

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab = lab
        self.rng = random.generator([seed, 2])
        self.z = random.normal((POINTS, lab.latent), rng=self.rng)

    def surface(self) -> Any:
        """What D says everywhere."""
        raise NotImplementedError

    def look(self) -> Arrays:
        """The state of both players."""
        lab = self.lab
        x = lab.made(self.z)
        pushes = [arrows(lab.discriminator, x, LOSSES[name].generator) for name in SHOWN]
        return {"surface": self.surface(), "points": x, "logits": lab.judged(x), "arrows": np.stack(pushes)}


class InAPlane(Stage):
    """Points in a plane around modes."""

    figures = ("modes", "near")

    def __init__(self, lab: Lab, seed: int) -> None:
        super().__init__(lab, seed)
        self.centres, sigma = MODES[lab.data]
        self.reach, self.half = NEAR * sigma, ROOM * float(abs(self.centres).max())
        self.many = random.normal((MANY, lab.latent), rng=self.rng)
        middles = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE * 2 - 1
        x, y = np.meshgrid(self.half * middles, -self.half * middles)  # rows from above
        self.places = np.stack([x.ravel(), y.ravel()], axis=1)
        across, along = density.latents(LINES), density.latents(ALONG)
        one = np.stack([across.repeat(ALONG), np.tile(along[:, 0], LINES)], axis=1)
        self.lattice = np.concatenate([one, one[:, ::-1]])
        self.facts = {"half": self.half, "wide": OUTSIDE * self.half, "side": SIDE, "along": ALONG, "near": self.reach}
        self.constants = {"centres": self.centres, "data": TOYS[lab.data](2 * POINTS, self.rng)}

    def surface(self) -> Any:
        """sigma(D) in the middles of `SIDE` x `SIDE` squares, rows from above, 255 for 1."""
        return np.rint(255 * sigmoid(self.lab.judged(self.places))).astype(np.uint8)

    def look(self) -> Arrays:
        """The state of both players, with how many of `MANY` points are near to which mode."""
        wide = OUTSIDE * self.half
        lines = (np.clip(self.lab.made(self.lattice) / wide, -1, 1) + 1) / 2
        apart = np.linalg.norm(self.lab.made(self.many)[:, None] - self.centres, axis=2)  # (n, modes)
        occupied = (apart <= self.reach).mean(axis=0, dtype=np.float32)
        return super().look() | {
            "lines": np.rint(65535 * lines).astype(np.uint16),
            "occupied": occupied,
            "modes": np.float32((occupied > 0).sum()),
            "near": occupied.sum(),
        }


class OnALine(Stage):
    """Points on a line, and densities."""

    figures = ("from_half", "from_optimum")

    def __init__(self, lab: Lab, seed: int) -> None:
        super().__init__(lab, seed)
        self.facts = {"from": float(density.PLACES[0]), "to": float(density.PLACES[-1])}
        self.constants = {"p": density.DATA.astype(np.float32), "latents": density.latents(LINES)}
        self.places = density.PLACES[:, None].astype(np.float32)

    def surface(self) -> Any:
        """sigma(D) at the places where densities are known."""
        return sigmoid(self.lab.judged(self.places))

    def look(self) -> Arrays:
        """The state of both players, with the generator's density and the best D against it."""
        q = density.density(self.lab.made(density.EVENLY))
        shot = super().look()
        return shot | {
            "q": q.astype(np.float32),
            "optimum": density.optimum(q).astype(np.float32),
            "lines": self.lab.made(density.latents(LINES)),
            "from_half": np.float32(density.from_half(shot["surface"])),
            "from_optimum": np.float32(density.from_optimum(shot["surface"], q)),
        }


def sigmoid(logits: Any) -> Any:
    """1 / (1 + exp(-logits)), of any size."""
    return 0.5 * (1 + np.tanh(0.5 * logits))
