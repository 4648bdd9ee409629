r"""
Gradient penalties and second derivatives
=========================================

A generator follows the slope of its critic, so the slope is worth looking after. A gradient penalty is a loss *made of*
gradients, those of the critic by its input:

.. math::

   \text{WGAN-GP:}\; E\big[(|\partial D/\partial x| - 1)^2\big] \text{ between real and generated samples}

.. math::

   \text{R1:}\; E\big[\,|\partial D/\partial x|^2\,\big] \text{ at real samples}

(Gulrajani et al. 2017; Mescheder et al. 2018). To train D with it, a gradient is differentiated once more, by D's weights. In
minigan the first gradient is asked for with ``create_graph=True``, so that it is a recorded computation like any other:

.. code-block:: python

   dx = mg.grad(D(x).sum(), x, create_graph=True)
   penalty = (((dx * dx).sum(axis=1).sqrt() - 1) ** 2).mean()
   penalty.backward()

Below, the length of that slope over the plane: of an untrained critic, and after the same number of steps without a
penalty, with WGAN-GP's, and with R1. Each map has a scale of its own. Real samples are in eight places on a ring, generated
ones in the middle.
"""

from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np

import minigan as mg
from minigan import nn
from minigan.gan import losses, penalties

rng = np.random.default_rng(0)
ring = lambda n: mg.tensor(mg.data.ring(n, rng))
blob = lambda n: mg.tensor(0.3 * rng.standard_normal((n, 2), dtype="float32"))


def critic(seed=0):
    draw = np.random.default_rng(seed)
    dense = lambda *sizes: nn.Dense(*sizes, rng=draw)
    return nn.Sequential(
        dense(2, 32), nn.Tanh(), dense(32, 32), nn.Tanh(), dense(32, 1)
    )


def slopes(D, x):
    """The length of dD/dx at each point (N, 2)."""
    x = mg.tensor(x, requires_grad=True)
    return np.linalg.norm(mg.grad(D(x).sum(), x).numpy(), axis=1)


side = np.linspace(-1.5, 1.5, 81, dtype="float32")
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
wasserstein, cross_entropy = (
    losses.wasserstein_discriminator,
    losses.LOSSES["minimax"].smoothed(1.0).discriminator,
)
kinds = {
    "untrained": (wasserstein, None, 0),
    "Wasserstein, no penalty": (wasserstein, None, 200),
    "Wasserstein, WGAN-GP": (wasserstein, penalties.PENALTIES["wgan-gp"], 200),
    "cross-entropy, R1": (cross_entropy, penalties.PENALTIES["r1"], 200),
}
fig, axes = plt.subplots(
    2, 2, figsize=(6.4, 5.2), sharex=True, sharey=True, layout="constrained"
)
print("                           slope at real    between    at generated")
for ax, (name, (loss, penalty, steps)) in zip(axes.flat, kinds.items(), strict=True):
    D = critic()
    opt = mg.optim.Adam(D.parameters(), lr=5e-3, betas=(0.0, 0.9))
    for _ in range(steps):
        mg.gan.discriminator_step(D, opt, ring(64), blob(64), loss, penalty)
    drawn = ax.pcolormesh(
        side, side, slopes(D, plane).reshape(81, 81), cmap="Blues", shading="gouraud"
    )
    fig.colorbar(drawn, ax=ax, label="|∂D/∂x|")
    ax.plot(*mg.data.ring(200, 1).T, "o", color="w", mec="k", ms=4, label="real")
    ax.plot(*blob(60).numpy().T, "x", color="#D55E00", ms=3, label="generated")
    ax.set(title=name, xlabel="x₁", ylabel="x₂", aspect="equal")
    ax.label_outer()
    real, fake = ring(500).numpy(), blob(500).numpy()
    at = [slopes(D, x).mean() for x in (real, (real + fake) / 2, fake)]
    print(f"{name:25s} {at[0]:11.2f} {at[1]:13.2f} {at[2]:12.2f}")
fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2)

# %%
# Nothing holds the second critic back: its slope grows for as long as it is trained. WGAN-GP keeps the slope near 1 on the way
# between the two, so that G hears the same everywhere. R1 makes D flat where the data is, and leaves it steep elsewhere: a G
# that has arrived is left in peace.
#
# By hand, and checked
# --------------------
#
# The three lines above give what :func:`minigan.gan.gradient_penalty` gives. And the penalty's gradient by a weight is what
# really happens when the weight is moved a little, :math:`(P(w + h) - P(w - h)) / 2h`, in float64:

D = critic()
for p in D.parameters():
    p.data = p.data.astype("float64")
real, fake, share = (
    rng.normal(size=(8, 2)),
    0.3 * rng.normal(size=(8, 2)),
    rng.random(8),
)


def penalty_of(D):
    x = mg.tensor(
        share[:, None] * real + (1 - share[:, None]) * fake, requires_grad=True
    )
    dx = mg.grad(D(x).sum(), x, create_graph=True)
    return (((dx * dx).sum(axis=1).sqrt() - 1) ** 2).mean()


built_in = mg.gan.gradient_penalty(D, mg.tensor(real), mg.tensor(fake), epsilon=share)
print(f"by hand {penalty_of(D).item():.12f}, built in {built_in.item():.12f}")

weight = D.parameters()[0]
gradient = mg.grad(penalty_of(D), weight).numpy()
values = weight.numpy().copy()


def penalty_at(i, by):
    """The penalty with one weight moved."""
    moved = values.copy()
    moved[i] += by
    weight.assign_(moved)
    return penalty_of(D).item()


difference = lambda i, h: (penalty_at(i, h) - penalty_at(i, -h)) / (2 * h)

print("weight       gradient       difference")
for i in ((0, 0), (3, 1), (10, 0), (31, 1)):
    print(f"{i!s:8s} {gradient[i]:14.10f} {difference(i, 1e-5):14.10f}")

# %%
# How near they come depends on h alone. Down to the right the formula's own error falls with :math:`h^2`; to the left rounding is
# divided by ever smaller h. A wrong second derivative would give a flat line at the top.

steps = np.logspace(-10, -0.5, 39)
error = [abs(difference((3, 1), h) - gradient[3, 1]) for h in steps]
fig, ax = plt.subplots(figsize=(6.4, 2.6), layout="constrained")
ax.loglog(steps, error, "o-", color="#0072B2", ms=3)
ax.set(xlabel="h", ylabel="|difference − gradient|")

# %%
# A norm has no slope at zero
# ---------------------------
#
# The derivative of :math:`\sqrt{s}` is infinite at 0, and a critic may well be flat at some sample, as a new one with dead
# units is. Then infinity times zero makes every weight NaN. minigan's penalty takes 0 there, the subgradient in the middle:

w = mg.tensor([1.0], requires_grad=True)
bowl = lambda x: w * (x * x).sum(axis=1)  # flat at 0
x = mg.tensor([[0.0, 0.0]], requires_grad=True)
dx = mg.grad(bowl(x).sum(), x, create_graph=True)
with np.errstate(divide="ignore", invalid="ignore"):
    naive = mg.grad((((dx * dx).sum(axis=1).sqrt() - 1) ** 2).mean(), w)
safe = mg.grad(mg.gan.gradient_penalty(bowl, x, x), w)
print(f"by the plain root: {naive.item()}, by gradient_penalty: {safe.item()}")

# %%
# Why batch norm breaks it
# ------------------------
#
# Both penalties speak of the slope *at each sample*, and take a whole batch's slopes in one backward pass, from
# :math:`\sum_i D(x)_i`. That is right only if :math:`D(x)_i` depends on :math:`x_i` alone. Batch norm mixes the samples: its mean
# and variance are of the whole batch. Below is the size of every block :math:`\partial D(x)_i / \partial x_j`:


def blocks(D, x):
    """The norms of d D(x)_i / d x_j, (N, N)."""
    x = mg.tensor(x, requires_grad=True)
    y = D(x)
    rows = [mg.grad(y[i].sum(), x, retain_graph=True).numpy() for i in range(len(x))]
    return np.linalg.norm(rows, axis=2)


batch = ring(8).numpy() + 0.3 * rng.standard_normal((8, 2), dtype="float32")
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3), layout="constrained")
for ax, norm in zip(axes, (nn.BatchNorm(32), nn.LayerNorm(32)), strict=True):
    draw = np.random.default_rng(1)
    D = nn.Sequential(
        nn.Dense(2, 32, rng=draw), norm, nn.Tanh(), nn.Dense(32, 1, rng=draw)
    )
    matrix = blocks(D, batch)
    own = np.diag(matrix)
    drawn = ax.imshow(matrix, cmap="viridis", vmin=0)
    fig.colorbar(drawn, ax=ax, shrink=0.8)
    ax.set(
        title=type(norm).__name__,
        xlabel="moved sample, j",
        ylabel="value, i",
        xticks=range(8),
        yticks=range(8),
    )
    print(
        f"{type(norm).__name__}: off the diagonal up to {(matrix - np.diag(own)).max():.4f}"
    )
    print(f"    slope by the sum / own slope: {np.round(slopes(D, batch) / own, 2)}")

# %%
# With layer norm, which takes its statistics within each sample, all that is off the diagonal is zero. With batch norm the pass
# gives something else than the slope that is meant, and no error would follow from the arithmetic. So minigan refuses:

D = nn.Sequential(nn.Dense(2, 32), nn.BatchNorm(32), nn.Tanh(), nn.Dense(32, 1))
try:
    mg.gan.gradient_penalty(D, ring(8), blob(8))
except ValueError as error:
    print(fill(str(error), 84))

# %%
# Two questions
# -------------
#
# **Which critic costs WGAN-GP nothing, but R1 its full price?** One with slope 1 everywhere. WGAN-GP wants that; R1 wants none
# where real samples are.

ramp = lambda x: x @ mg.tensor([0.6, 0.8])
wgan_gp = mg.gan.gradient_penalty(ramp, ring(64), blob(64))
print(f"WGAN-GP {wgan_gp.item():.4f}, R1 {penalties.r1(ramp, ring(64)).item():.4f}")

# %%
# **A critic with LeakyReLU is piecewise linear: its second derivative by x is zero. Can the penalty still teach it?** Yes: what
# is needed is the derivative of the slope by the *weights*, and the slope is a product of them.

D = nn.Sequential(nn.Dense(2, 32, rng=0), nn.LeakyReLU(0.2), nn.Dense(32, 1, rng=1))
curvature = mg.hvp(lambda x: D(x).sum(), batch, np.ones_like(batch))
by_weight = mg.grad(penalties.r1(D, mg.tensor(batch)), D.parameters()[0])
print(f"second derivative by x: {abs(curvature.numpy()).max()}")
print(f"norm of R1's gradient by weights: {np.linalg.norm(by_weight.numpy()):.3f}")
