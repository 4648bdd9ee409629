r"""
What a GAN is
=============

A GAN is a game of two networks. The **generator** G makes a sample :math:`x = G(z)` from noise :math:`z`. The
**discriminator** D sees real and generated samples and says of each how sure it is that it is real:
:math:`D(x)` from 0 to 1. D is rewarded for being right, G for making D wrong (Goodfellow et al. 2014):

.. math:: \min_G \max_D \; E_{x \sim p}[\log D(x)] + E_{x \sim q}[\log(1 - D(x))]

Here :math:`p` is the density of real samples and :math:`q` that of G's. Neither network is ever told a density. G does
not even see a real sample: it only hears how D's verdict would change if its own sample were a little different. The
game is at rest when nothing is left to tell apart: :math:`q = p`, and :math:`D = 1/2` wherever there are samples.

Below is a whole GAN in one dimension. Its generator is :math:`x = a z + b`, two numbers, so that :math:`q` is known and
can be drawn.
"""

import matplotlib.pyplot as plt
import numpy as np

import minigan as mg
from minigan import nn

REAL, FAKE, JUDGE = "#0072B2", "#D55E00", "#009E73"
rng = np.random.default_rng(0)
noise = lambda n: mg.tensor(rng.standard_normal((n, 1), dtype="float32"))
real = lambda n: mg.tensor(mg.data.line(n, rng))  # N(2, 0.5)
hidden = lambda width: nn.Sequential(
    nn.Dense(1, width, rng=rng), nn.Tanh(), nn.Dense(width, 1, rng=rng)
)
adam = lambda net: mg.optim.Adam(net.parameters(), lr=0.02)
loss = mg.gan.losses.LOSSES["non-saturating"].smoothed(1.0)
r1 = mg.gan.penalties.PENALTIES["r1"]  # lets the game come to rest: see the saddle
rules = {"d_loss": loss.discriminator, "g_loss": loss.generator, "penalty": r1}


def players():
    """A generator that begins with x = 2z, a discriminator, and an optimiser for each."""
    G, D = nn.Dense(1, 1), hidden(32)
    G.load_state_dict({"weight": np.array([[2.0]]), "bias": np.zeros(1)})
    return G, D, adam(G), adam(D)


def normal(x, mean, std):
    return np.exp(-(((x - mean) / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi))


def show(ax, G, D, title):
    """Both densities, and what D says at each place."""
    x = np.linspace(-5, 5, 201, dtype="float32")
    q = normal(x, G.bias.item(), abs(G.weight.item()))
    ax.fill_between(x, normal(x, 2, 0.5), color=REAL, alpha=0.35, label="real, p")
    ax.fill_between(x, np.minimum(q, 1.2), color=FAKE, alpha=0.35, label="generated, q")
    ax.plot(
        x, D(mg.tensor(x[:, None])).sigmoid().numpy(), color=JUDGE, lw=2, label="D(x)"
    )
    ax.plot(G(noise(50)).numpy(), np.full(50, -0.06), "|", color=FAKE)
    ax.axhline(0.5, color="0.5", lw=0.8, ls=":")
    ax.set(title=title, xlabel="x", xticks=(-4, 0, 4), ylim=(-0.12, 1.2))


G, D, opt_g, opt_d = players()
fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.5), sharey=True, layout="constrained")
shown = dict(zip((0, 50, 600), axes, strict=True))
for step in range(601):
    if step in shown:
        show(shown[step], G, D, f"after {step} steps")
    mg.gan.adversarial_step(G, D, opt_g, opt_d, real(128), noise(128), **rules)
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
print(f"G makes N({G.bias.item():.2f}, {abs(G.weight.item()):.2f}), real is N(2, 0.5)")

# %%
# Among other models
# ------------------
#
# **Discriminative or generative.** A discriminative model learns :math:`p(y \mid x)`, the class of a given sample. A
# generative one learns :math:`p(x \mid y)` or :math:`p(x)`, where the samples themselves lie; with Bayes' rule it can
# classify as well. Both on the same two classes:

y = np.repeat([[0.0], [1.0]], 500, axis=0).astype("float32")
x = (2 * y - 1 + 0.6 * rng.standard_normal((1000, 1))).astype("float32")

judge = nn.Dense(1, 1, rng=rng)  # discriminative: the logit of p(y = 1 | x)
opt = mg.optim.Adam(judge.parameters(), lr=0.2)
for _ in range(400):
    opt.zero_grad()
    mg.ops.bce_with_logits(judge(mg.tensor(x)), mg.tensor(y)).backward()
    opt.step()

a, b = x[:500], x[500:]  # generative: a mean and a width for each class
print("   x    p(y=1|x) learnt   p(y=1|x) by Bayes   p(x)")
for at in (-1.0, 0.2, 1.0, 9.0):
    p_a, p_b = normal(at, a.mean(), a.std()), normal(at, b.mean(), b.std())
    learnt = judge(mg.tensor([[at]])).sigmoid().item()
    bayes, p = p_b / (p_a + p_b), (p_a + p_b) / 2
    print(f"{at:5.1f}   {learnt:10.3f}   {bayes:17.3f}   {p:14.1e}")

# %%
# Where there is data both say nearly the same. At the last place both are sure of the class, but only the generative model
# knows that nothing was ever seen there; and only it can draw new samples. A GAN has one of each: D is
# discriminative, :math:`p(\text{real} \mid x)`, and G is generative.
#
# **Likelihood, autoregressive, one-shot.** Generative models differ in what can be asked of them:
#
# - a *likelihood* model writes :math:`p(x)` down, and is fitted by making the data likely;
# - an *autoregressive* one makes :math:`x` piece by piece, each given those before,
#   :math:`p(x) = p(x_1)\,p(x_2 \mid x_1)\,p(x_3 \mid x_1, x_2) \cdots`: a density again, but as many passes as pieces;
# - a *one-shot* model such as a GAN makes all of :math:`x` in one pass, and has no density to be asked for.
#
# The three on the same data. For the second a sample is the number of its bin, in four bits.

train = mg.data.line(20_000, rng)[:, 0]
at, width = 2.3, 0.25
print(f"the true density at {at}:      {normal(at, 2, 0.5):.3f}")
print(f"likelihood, one formula:      {normal(at, train.mean(), train.std()):.3f}")

left, wanted, density = (train / width).astype(int), int(at / width), 1 / width
for bit in (8, 4, 2, 1):
    same = (left & bit) == (wanted & bit)
    density *= same.mean()
    print(f"    p(bit is {int(wanted & bit > 0)} | those before) = {same.mean():.3f}")
    left = left[same]
print(f"autoregressive, four factors: {density:.3f}")
print(f"one-shot: no density, only samples: {G(noise(4)).numpy().ravel().round(2)}")

# %%
# What D learns: a ratio
# ----------------------
#
# Take G as it is, and ask for the best D. At each :math:`x` it maximises :math:`p \log D + q \log(1 - D)`, whose
# derivative :math:`p/D - q/(1 - D)` is zero at
#
# .. math:: D^*(x) = \frac{p(x)}{p(x) + q(x)}, \qquad \operatorname{logit} D^*(x) = \log \frac{p(x)}{q(x)}
#
# (Goodfellow et al. 2014, proposition 1). So a classifier finds the ratio of two densities from samples alone. Put
# into D's loss, :math:`D^*` leaves :math:`\log 4 - 2\,\mathrm{JS}(p, q)`, with the Jensen-Shannon divergence, which is
# 0 only for :math:`q = p`. A network finds both numbers:

G, D, opt_g, opt_d = players()
for step in range(800):
    opt_d.lr = 0.02 if step < 500 else 0.002
    mg.gan.discriminator_step(D, opt_d, real(512), G(noise(512)), loss.discriminator)

x = np.linspace(-6, 6, 1201)
p, q = normal(x, 2, 0.5), normal(x, 0, 2)
best = p / (p + q)
seen = D(mg.tensor(x[:, None].astype("float32"))).sigmoid().numpy()[:, 0]
least = -np.trapezoid(p * np.log(best) + q * np.log(1 - best), x)
off = abs(seen - best)
print(f"|D - D*|: {np.trapezoid(off * (p + q) / 2, x):.3f} on average over all samples")
last = loss.discriminator(D(real(20_000)), D(G(noise(20_000))))
print(f"D's loss: {last.item():.3f}")
print(f"log 4 - 2 JS(p, q): {least:.3f}    log 4: {np.log(4):.3f}")

# %%
# A fixed judge is fooled, and answers
# ------------------------------------
#
# Now D stays as it is and G learns. It does not learn :math:`p`: nothing rewards it for making *different* samples, so
# all of them run to the one place that D likes best, where :math:`p/q` is largest. That is not even the likeliest real
# sample. Then G stays, and D learns from what it sees:

fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.5), sharey=True, layout="constrained")
show(axes[0], G, D, "D has learnt")
for name, y in {"D": seen, "p/q": p / q, "p": p}.items():
    print(f"{name:3s} is highest at {x[y.argmax()]:.2f}")

print("\nstep   G's mean   G's width   D's verdict")
for step in range(401):
    fake = G(noise(128))
    if step % 100 == 0:
        at, verdict = fake.numpy(), D(fake).sigmoid().mean().item()
        print(f"{step:4d} {at.mean():10.2f} {at.std():11.3f} {verdict:13.3f}")
    mg.gan.generator_step(D, opt_g, fake, loss.generator)
show(axes[1], G, D, "G has fooled it")

for _ in range(60):
    mg.gan.discriminator_step(D, opt_d, real(128), G(noise(128)), loss.discriminator)
show(axes[2], G, D, "D answers")
fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
verdict = D(G(noise(128))).sigmoid().mean().item()
print(f"after D's answer:              {verdict:.3f}")

# %%
# This is how an image of noise can fool a fixed classifier. What makes a GAN is that the judge learns back: no place
# is liked for long, and the only place for :math:`q` where D has nothing to say is on :math:`p` itself.
#
# Two players, one saddle
# -----------------------
#
# Learning back has a price: nobody walks downhill to a minimum, both look for a saddle. The smallest such game is
# :math:`\min_x \max_y\, xy`, at rest at 0. It is a GAN, too, with all real samples at 0, all generated ones at
# :math:`x`, and a critic :math:`D(x) = yx` (the Dirac GAN of Mescheder et al. 2018). Both players may move at once, or
# in turns, each seeing what the other has done; and the critic may pay for its slope,
# :math:`\frac{\gamma}{2} (\partial D / \partial x)^2 = \frac{\gamma}{2} y^2`, which is the penalty R1.


def walk(in_turns, gamma=0.0, lr=0.2, steps=60):
    """The way of (x, y) from (1, 0): x goes down its slope, y up."""
    x, y = (mg.tensor(np.float64(v), requires_grad=True) for v in (1, 0))
    way = [(1.0, 0.0)]
    for _ in range(steps):
        dx, dy = mg.grad(x * y - gamma / 2 * y * y, (x, y))
        x.assign_(x.detach() - lr * dx)
        if in_turns:
            dy = mg.grad(x * y - gamma / 2 * y * y, y)
        y.assign_(y.detach() + lr * dy)
        way.append((x.item(), y.item()))
    return np.array(way)


ways = {
    "both at once": walk(False),
    "in turns": walk(True),
    "in turns, with R1": walk(True, gamma=0.5),
}
fig, axes = plt.subplots(
    1, 3, figsize=(6.4, 2.9), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, way), colour in zip(
    axes, ways.items(), (FAKE, REAL, JUDGE), strict=True
):
    ax.plot(*way.T, ".-", color=colour, lw=1, ms=4)
    ax.plot(0, 0, "+", color="0.5", ms=10)
    ax.set(title=name, xlabel="x, the generator", aspect="equal")
    print(f"{name:18s} distance from rest at the end: {np.hypot(*way[-1]):.4f}")
axes[0].set_ylabel("y, the critic")
print(f"sqrt(1 + lr²)^60, the closed form:             {np.sqrt(1 + 0.2**2) ** 60:.4f}")

# %%
# At once, a step is the matrix :math:`\begin{pmatrix} 1 & -\eta \\ \eta & 1 \end{pmatrix}`, a turn that lengthens by
# :math:`\sqrt{1 + \eta^2}`: the game spirals out at any rate :math:`\eta`. In turns, the matrix is
# :math:`\begin{pmatrix} 1 & -\eta \\ \eta & 1 - \eta^2 \end{pmatrix}`, of determinant 1: it circles for ever. Only
# with the penalty does it come to rest, and so the GAN at the top was given R1. Training is done in turns:
# :func:`minigan.gan.adversarial_step` moves D first, and G learns through the D that has just moved.
#
# Why a hidden layer
# ------------------
#
# Real samples now lie in two heaps. A D without a hidden layer can only say "more to the right is more real", and a G
# without one can only shift and stretch the one heap that is its noise.

heaps = lambda n: mg.tensor(
    (rng.choice([-2, 2], (n, 1)) + 0.3 * rng.standard_normal((n, 1))).astype("float32")
)
for name, D in (
    ("no hidden layer", nn.Dense(1, 1, rng=rng)),
    ("one hidden layer", hidden(32)),
):
    opt_d = mg.optim.Adam(D.parameters(), lr=0.02)
    for _ in range(300):
        last = mg.gan.discriminator_step(
            D, opt_d, heaps(256), noise(256), loss.discriminator
        )
    print(f"D with {name}: loss {last.item():.3f}, guessing {np.log(4):.3f}")

fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.5), sharey=True, layout="constrained")
for ax, name, G in zip(
    axes,
    ("no hidden layer", "one hidden layer"),
    (nn.Dense(1, 1, rng=rng), hidden(32)),
    strict=True,
):
    D = hidden(32)
    opt_g, opt_d = (
        mg.optim.Adam(net.parameters(), lr=0.01, betas=(0.5, 0.99)) for net in (G, D)
    )
    for _ in range(800):
        mg.gan.adversarial_step(G, D, opt_g, opt_d, heaps(128), noise(128), **rules)
    x = G(noise(5000)).numpy()
    ax.hist(
        heaps(5000).numpy().ravel(),
        np.linspace(-4, 4, 65),
        color=REAL,
        alpha=0.45,
        label="real",
    )
    ax.hist(
        x.ravel(), np.linspace(-4, 4, 65), color=FAKE, alpha=0.45, label="generated"
    )
    ax.set(title=f"G with {name}", xlabel="x")
    left, right = (np.mean(abs(x - centre) < 0.9) for centre in (-2, 2))
    print(f"G with {name}: {left:.1%} in the left heap, {right:.1%} in the right one")
axes[0].legend(loc="upper center")

# %%
# Two questions
# -------------
#
# **What does D's loss say when G has won?** D gives 1/2, the logit 0, to everything, and pays :math:`\log 2` for each
# batch. A loss of D that falls towards 0 is no success: it has nothing left to teach.

undecided = mg.tensor(np.zeros((64, 1), "float32"))
print(f"{loss.discriminator(undecided, undecided).item():.4f}, log 4 = {np.log(4):.4f}")

# %%
# **Does a smaller step mend the spiral?** It slows it down. Over the same way, rate times steps, the distance grows by
# :math:`(1 + \eta^2)^{n/2} \approx e^{\eta \cdot \eta n / 2}`: less for a smaller rate, but never less than 1.

for lr in (0.2, 0.1, 0.05):
    steps = round(12 / lr)
    way = walk(False, lr=lr, steps=steps)
    print(f"rate {lr:4.2f}, {steps:3d} steps: {np.hypot(*way[-1]):.3f}")
