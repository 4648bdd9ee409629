"""Write an op, hold its rules to central differences, use it in a layer and train that: python examples/write_an_op.py

The op is snake, x + sin(ax)^2 / a (Ziyin, Hartwig and Ueda 2020), with a frequency a for each channel. You will see that its
rules are right, in first and second order, and in runs/write_an_op which of two networks knows how a wave goes on.
"""

from pathlib import Path

import numpy as np
import tyro
from matplotlib.figure import Figure

import minigan as mg
from minigan import nn


@mg.op(broadcasts=True)  # a (C,) meets x (N, C): the engine sums a's gradient over N
def snake(xp, x, a):
    return x + xp.sin(a * x) ** 2 / a


@snake.gradient("x", formula=r"\partial L/\partial x = \partial L/\partial y \, (1 + \sin 2ax)")
def _(F, dy, x, a):
    return dy * (1 + F.sin(2 * a * x))


@snake.gradient("a", formula=r"\partial L/\partial a = \partial L/\partial y \, (x \sin 2ax - \sin^2(ax) / a) / a")
def _(F, dy, x, a):
    return dy * (x * F.sin(2 * a * x) - F.sin(a * x) ** 2 / a) / a


class Snake(nn.Module):
    def __init__(self, channels: int) -> None:
        self.a = nn.Parameter([1.0] * channels, name="a")

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return snake(x, self.a)


def main(steps: int = 3000, width: int = 32, seed: int = 0, out: Path = Path("runs/write_an_op")) -> None:
    t, v = np.random.default_rng(seed).uniform(0.5, 1.0, (2, 3))  # a point and a direction, float64
    f, h = lambda t: snake(t, 2 * t).sum(), 1e-5  # both x and a depend on t, so that both rules are held to it
    slope = lambda t: mg.vjp(f, t)[1](1.0).numpy()
    first = slope(t) @ v - (f(mg.tensor(t + h * v)) - f(mg.tensor(t - h * v))).item() / (2 * h)
    second = mg.hvp(f, t, v).numpy() - (slope(t + h * v) - slope(t - h * v)) / (2 * h)
    print(f"rules and central differences are {abs(first):.0e} apart in first order, {abs(second).max():.0e} in second")

    x = mg.tensor(np.linspace(-10, 10, 401, dtype="float32")[:, None])
    wave, seen = (2 * x).sin() + x / 3, slice(100, 301)  # -5 to 5; what lies outside is never shown
    axes = (figure := Figure(figsize=(8, 4), layout="constrained")).add_subplot(ylim=(-5, 5))
    axes.axvspan(-5, 5, alpha=0.1, label="what they learn from")
    axes.plot(x.numpy(), wave.numpy(), "k:", label="the wave")
    for bend in (nn.Tanh(), Snake(width)):
        layers = nn.Sequential(nn.Dense(1, width, rng=seed), bend, nn.Dense(width, 1, rng=seed))
        adam = mg.optim.Adam(layers.parameters(), lr=1e-2)
        for _ in range(steps):
            adam.zero_grad()
            loss = mg.ops.mse_loss(layers(x[seen]), wave[seen])
            loss.backward()
            adam.step()
        print(f"{bend}: loss {float(loss):.6f} after {steps} steps")
        axes.plot(x.numpy(), layers(x).numpy(), label=repr(bend))
    axes.legend(loc="upper left")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "wave.png")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
