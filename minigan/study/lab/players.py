"""The lab's two players, which learn in seconds, and how they learn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from minigan.autodiff import Tensor, no_grad
from minigan.backends import random
from minigan.data.sources import TOYS
from minigan.errors import RunError
from minigan.gan import adversarial_step, discriminator_step, points
from minigan.gan.config import fraction_left
from minigan.gan.losses import LOSSES
from minigan.gan.penalties import PENALTIES
from minigan.nn import Dense, Module, Sequential, Softplus
from minigan.optim import Adam


@dataclass(frozen=True)
class Recipe:
    """How a data set is learned.

    Attributes:
        batch: points, real and generated, that a step takes.
        lr_g, lr_d: rates at first; they fall to 0 along a line.
        gamma: R1's weight, which keeps D smooth, so that points find the way to modes that are far.
    """

    batch: int
    lr_g: float
    lr_d: float
    gamma: float


RECIPES = {
    "ring": Recipe(128, 1e-3, 2e-3, gamma=2.0),
    "grid": Recipe(128, 1e-3, 2e-3, gamma=6.0),
    "line": Recipe(256, 2e-3, 4e-3, gamma=0.1),
}
LOSS = LOSSES["non-saturating"].smoothed(1.0)  # whose best D is p / (p + q)
WIDTH = 64
AHEAD = 50  # steps of D alone at first, so that it is sure, as it is of poor samples: there minimax's gradient vanishes


class Lab:
    """A GAN on toy data that can be stopped after every step and looked at.

    Args:
        data: ``ring``, ``grid`` or ``line``.
        steps: how many the falling rates are meant for.
        seed: of the players and of all that is drawn.
        fixed_generator: G's rate is 0.

    Attributes:
        generator, discriminator: the players.
        latent: how many numbers a point is made from.
        done: adversarial steps.
        ahead: D's steps before the first of them, none where D is to learn alone.
        logits: D's, of the last step, as host arrays: ``real``, ``fake``, and ``after`` it has moved.
        plain: D's loss of the last step, without its penalty.

    Raises:
        RunError: data that there is not, no steps, a seed below 0.

    >>> from minigan.study.lab.players import Lab
    >>> lab = Lab("line", steps=1, seed=0)
    >>> loss_d, loss_g = lab.step(*lab.draw())
    >>> lab.done, lab.logits["real"].shape
    (1, (256, 1))
    """

    def __init__(self, data: str, steps: int, seed: int, fixed_generator: bool = False) -> None:
        if data not in TOYS:
            raise RunError(f"data must be one of {', '.join(TOYS)}, got {data!r}")
        for name, value, least in (("steps", steps, 1), ("seed", seed, 0)):
            if value < least:
                raise RunError(f"{name} must be at least {least}, got {value}")
        self.data, self.steps, self.done, self.recipe = data, steps, 0, RECIPES[data]
        self.rng = random.generator([seed, 1])
        rng = random.generator([seed, 0])
        self.generator, self.discriminator = _on_a_line(rng) if data == "line" else points.build(2, rng, WIDTH)
        self.latent = 1 if data == "line" else points.LATENT
        some = TOYS[data](10_000, rng)
        for layer in (*self.generator.modules(), *self.discriminator.modules()):
            if isinstance(layer, points.Standardise):
                layer.fit(some)
        # where only D learns, nothing has to come to rest, and the penalty would keep it from the best there is
        self.penalty = None if fixed_generator else partial(PENALTIES["r1"], weight=self.recipe.gamma)
        betas = (0.0, 0.99)
        self.lr_g = 0.0 if fixed_generator else self.recipe.lr_g
        self.opt_g = Adam(self.generator.parameters(), self.lr_g, betas)
        self.opt_d = Adam(self.discriminator.parameters(), self.recipe.lr_d, betas)
        self.logits: dict[str, Any] = {}
        self.plain = 0.0
        self.ahead = 0 if fixed_generator else AHEAD
        for _ in range(self.ahead):
            real, z = self.draw()
            with no_grad():
                fake = self.generator(z)
            discriminator_step(self.discriminator, self.opt_d, real, fake, LOSS.discriminator, self.penalty)

    def draw(self) -> tuple[Tensor, Tensor]:
        """The next batch of real points (n, d), and as many latents."""
        n = self.recipe.batch
        real = TOYS[self.data](n, self.rng)
        return Tensor(real, copy=False), Tensor(random.normal((n, self.latent), rng=self.rng), copy=False)

    def step(self, real: Tensor, z: Tensor) -> tuple[float, float]:
        """An adversarial step: the losses of D, with its penalty, and of G."""
        left = fraction_left("linear", self.done / (self.steps + 1))
        self.opt_g.lr, self.opt_d.lr = self.lr_g * left, self.recipe.lr_d * left
        loss_d, loss_g = adversarial_step(
            self.generator, self.discriminator, self.opt_g, self.opt_d, real, z, self._d_loss, self._g_loss,
            penalty=self.penalty,
        )  # fmt: skip
        self.done += 1
        return loss_d.item(), loss_g.item()

    def _d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """D's loss, with a look at its logits."""
        loss = LOSS.discriminator(real, fake)
        self.logits, self.plain = {"real": real.numpy(), "fake": fake.numpy()}, loss.item()
        return loss

    def _g_loss(self, fake: Tensor) -> Tensor:
        self.logits["after"] = fake.numpy()
        return LOSS.generator(fake)

    def made(self, z: Any) -> Any:
        """What G makes of latents (n, latent), on the host."""
        with no_grad():
            return self.generator(Tensor(z)).numpy()

    def judged(self, x: Any) -> Any:
        """D's logits of points (n, d), (n,), on the host."""
        with no_grad():
            return self.discriminator(Tensor(x)).numpy()[:, 0]


def _on_a_line(rng: random.Generator) -> tuple[Module, Module]:
    width = WIDTH // 2
    D = Sequential(
        points.Standardise(1),
        *(Dense(1, width, rng=rng), Softplus()),  # the best D's logit is curved everywhere
        *(Dense(width, width, rng=rng), Softplus()),
        Dense(width, 1, rng=rng),
    )
    return Ahead(width, rng), D


class Ahead(Module):
    """z (N, 1) -> z + net(z), which is z itself at first: samples of N(0, 1), whose density is known.

    Args:
        width: of the net's inner layer.
        rng: what draws its weights.
    """

    def __init__(self, width: int, rng: random.Generator) -> None:
        self.inner, self.outer = Dense(1, width, rng=rng), Dense(width, 1, rng=rng)
        for p in self.outer.parameters():
            p.assign_(0.0)

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = z + self.outer(self.inner(z).tanh())
        return out
