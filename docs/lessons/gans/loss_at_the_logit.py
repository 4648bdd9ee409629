r"""
The loss at the logit
=====================

All that a generator hears of its loss passes through one number for each sample: the gradient at D's **logit** :math:`l`,
from which backpropagation carries it on to the image and to G's weights. So a generator's loss *is* the curve of that
number. The question to ask of it: how hard does it push when D is sure that a sample is generated? For that is where
young generators are.

======================  =======================================  ==============================================
loss of G, a sample     push, :math:`-\partial L/\partial l`     source
======================  =======================================  ==============================================
minimax                 :math:`\sigma(l)`                        Goodfellow et al. (2014), equation 1
non-saturating          :math:`1 - \sigma(l)`                    the same, section 3
least squares           :math:`1 - l`                            Mao et al. (2017)
hinge, Wasserstein      :math:`1`                                Lim and Ye (2017), Arjovsky et al. (2017)
relativistic            :math:`1 - \sigma(l - l_\text{real})`    Jolicoeur-Martineau (2019)
======================  =======================================  ==============================================

:math:`\sigma(l)` is D's confidence that the sample is real. Below are the curves as minigan's losses have them, and as a
rug the logits of a real batch: the first images of a generator that has not learnt, before a D that has, for a few steps.
"""

import matplotlib.pyplot as plt
import numpy as np

import minigan as mg

LOSSES = mg.gan.losses.LOSSES
COLOURS = "#D55E00", "#0072B2", "#E69F00", "#009E73", "#000000", "#CC79A7"
rng = np.random.default_rng(0)
latents = lambda n: mg.tensor(rng.standard_normal((n, 100), dtype="float32"))
images, _ = mg.data.digits()
draw = lambda n: mg.tensor(images[rng.integers(len(images), size=n)])

G, D = mg.gan.models.build("gan", rng=0, width=16)
opt_d = mg.optim.Adam(D.parameters(), lr=1e-3)
for _ in range(20):
    mg.gan.discriminator_step(
        D, opt_d, draw(32), G(latents(32)), mg.gan.losses.discriminator
    )

real, fake = draw(64), G(latents(64))
on_real, on_fake = D(real).numpy(), D(fake).numpy()


def push(loss, logits):
    """-dL/dl at each logit; the loss is a mean, so that each gets 1/n of it."""
    logits = mg.tensor(np.asarray(logits, "float32"), requires_grad=True)
    beside = [mg.tensor(np.full(logits.shape, on_real.mean()))] if loss.paired else []
    return -mg.grad(loss.generator(logits, *beside), logits).numpy() * logits.size


logit = np.linspace(-7, 7, 281)
sigma = 1 / (1 + np.exp(-logit))
fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
for (name, loss), colour in zip(LOSSES.items(), COLOURS, strict=True):
    line = ":" if name == "wasserstein" else "-"  # it lies on the hinge loss's
    ax.plot(sigma, push(loss, logit), line, color=colour, lw=2, label=name)
seen = 1 / (1 + np.exp(-on_fake.ravel()))
ax.plot(seen, np.full(64, -0.35), "|", color="0.3", ms=9, label="a batch of G's")
ax.set(
    xscale="logit",
    ylim=(-0.5, 4),
    xlabel="D's confidence that the sample is real, σ(l)",
    ylabel="push, −∂L/∂l",
)
ax.legend(loc="upper right", ncols=2)
print(f"D's confidence in the batch: {seen.min():.4f} to {seen.max():.4f}")

# %%
# Where does such a curve come from? From the rule of the loss's op. :func:`minigan.study.explain` prints it with what came in and
# went out, here for the logits -4, 0 and 4:

logits = mg.tensor([-4.0, 0.0, 4.0], requires_grad=True)
print(mg.study.explain(mg.gan.losses.non_saturating(logits)))

# %%
# The vanishing gradient
# ----------------------
#
# Minimax and non-saturating push in the same direction and want the same thing. They differ in when: minimax pushes
# samples that D already believes in, and leaves the hopeless ones alone. The better D is, the less G can learn:

print("steps of D   confidence    |dL/dX| minimax   non-saturating    ratio")
steps = 20
for more in (0, 5, 10, 20):
    steps += more
    for _ in range(more):
        mg.gan.discriminator_step(
            D, opt_d, draw(32), G(latents(32)), mg.gan.losses.discriminator
        )
    fake = G(latents(64))
    weak, strong = (
        np.linalg.norm(mg.grad(LOSSES[name].generator(D(fake)), fake).numpy())
        for name in ("minimax", "non-saturating")
    )
    sure = D(fake).sigmoid().mean().item()
    row = f"{steps:10d} {sure:12.5f} {weak:18.2e} {strong:16.2e}"
    print(row, f"{weak / strong:8.4f}")

# %%
# The ratio of the two is about D's confidence itself, as the table of pushes says: :math:`\sigma / (1 - \sigma)`. Arjovsky
# and Bottou (2017) have the proof that a perfect D leaves minimax no gradient at all. Least squares pushes the
# harder the surer D is, Wasserstein always alike, and relativistic by the distance from a real sample's logit.
#
# Probabilities round, logits don't
# ---------------------------------
#
# Why does D give logits and not probabilities? In float32 there are only so many numbers
# just below 1. So :math:`\sigma(l)` becomes exactly 1 at a moderate logit, and :math:`\log(1 - \sigma)` is lost, with its
# gradient. :func:`minigan.ops.bce_with_logits` computes the same from the logit, :math:`\max(l, 0) + \log(1 + e^{-|l|})`
# for the target 0, in which nothing is subtracted from 1:

by_probability = lambda logit: -(1 - logit.sigmoid()).log().sum()
by_logit = lambda logit: mg.ops.bce_with_logits(logit, 0.0)

print("logit      loss by probability, gradient     loss by logit, gradient")
for value in (5.0, 15.0, 20.0, 100.0):
    row = f"{value:5.0f}"
    for f in (by_probability, by_logit):
        at = mg.tensor([value], requires_grad=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            loss = f(at)
            row += f" {loss.item():20.6f} {mg.grad(loss, at).item():9.6f}"
    print(row)

# %%
# Long before it breaks the first form is wrong in ever more digits:

logit = np.linspace(0, 25, 1001, dtype="float32")
exact = np.logaddexp(0, logit.astype("float64"))
with np.errstate(divide="ignore"):
    rounded = -(1 - mg.tensor(logit).sigmoid()).log().numpy()
stable = mg.ops.softplus(mg.tensor(logit)).numpy()
fig, ax = plt.subplots(figsize=(6.4, 2.7), layout="constrained")
finite = np.isfinite(rounded)
ax.semilogy(
    logit[finite],
    abs(rounded / exact - 1)[finite] + 1e-9,
    color="#D55E00",
    lw=1,
    label="by probability",
)
ax.semilogy(
    logit, abs(stable / exact - 1) + 1e-9, color="#0072B2", lw=1, label="by logit"
)
first = logit[~finite].min()
ax.axvspan(
    first, 25, color="#D55E00", alpha=0.2, lw=0, label="by probability: infinite"
)
ax.set(xlabel="logit", ylabel="relative error of the loss", xlim=(0, 25))
ax.legend(loc="upper left")
print(f"by probability the loss is infinite from a logit of {first:.2f} on")
gap = np.finfo("float32").epsneg
print(f"the last number before 1 is 1 - {gap:.1e}, sigma({-np.log(gap):.2f})")

# %%
# Label smoothing: where D's best answer goes
# -------------------------------------------
#
# With the target :math:`t` for real samples and :math:`s` for generated ones the best D is no longer :math:`p/(p+q)` but
#
# .. math:: D^*(x) = \frac{t\,p(x) + s\,q(x)}{p(x) + q(x)}
#
# One-sided smoothing (:math:`t = 0.9, s = 0`) keeps D from growing ever more sure of real samples. Two-sided smoothing
# (:math:`s = 0.1`) looks like more of the same. Below D's best logit is found by descent at each :math:`x`, for real
# samples from N(1.5, 1) and generated ones from N(-1.5, 1):

x = np.linspace(-2, 2, 241)
p, q = np.exp(-((x - 1.5) ** 2) / 2), np.exp(-((x + 1.5) ** 2) / 2)
share = mg.tensor(p / (p + q))  # of real samples among all that lie here
real_at, fake_at = abs(x - 1.5).argmin(), abs(x + 1.5).argmin()


def best(t, s, steps=600):
    """The logit that D would have if it were free at every x."""
    logit = mg.tensor(np.zeros(241), requires_grad=True)
    opt = mg.optim.Adam([logit], lr=0.2)
    for _ in range(steps):
        opt.zero_grad()
        target = share * t + (1 - share) * s
        (mg.ops.bce_with_logits(logit, target) * 241).backward()
        opt.step()
    return logit.numpy()


fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3), layout="constrained")
print("smoothing    D* at real   formula   D* at fake   formula   slope at fake")
kinds = {
    "none": (1, 0, "0.5", "-"),
    "one-sided": (0.9, 0, "#0072B2", "--"),
    "two-sided": (0.9, 0.1, "#D55E00", "-"),
}
for name, (t, s, colour, line) in kinds.items():
    logit = best(t, s)
    D_x = 1 / (1 + np.exp(-logit))
    formula = (t * p + s * q) / (p + q)
    slope = np.gradient(logit, x)[fake_at]
    left.plot(x, D_x, line, color=colour, lw=2)
    right.plot(x, logit, line, color=colour, lw=2, label=name)
    row = f"{name:10s} {D_x[real_at]:12.3f} {formula[real_at]:9.3f}"
    print(row, f"{D_x[fake_at]:12.5f} {formula[fake_at]:9.5f} {slope:15.3f}")
left.set(xlabel="x", ylabel="the best D", title="probability")
right.set(xlabel="x", title="logit")
right.legend(title="smoothing", loc="upper left")
for ax in (left, right):
    ax.axvline(-1.5, color="0.6", lw=0.8, ls=":")

# %%
# At the dotted line, where G's samples are, two-sided smoothing has made D's logit flat: D answers :math:`s`, wherever G
# goes, and G has no slope to follow. One-sided smoothing takes the certainty away where real samples are and leaves the
# slope where G needs it (Salimans et al. 2016). That is how
# :func:`minigan.gan.losses.discriminator` smooths.
#
# Two questions
# -------------
#
# **Where do minimax and non-saturating push alike?** Where :math:`\sigma = 1 - \sigma`: when D can't tell. All the
# difference between them is in how G gets there.

for logit in (-4.0, 0.0, 4.0):
    weak, strong = (
        push(LOSSES[name], [logit]).item() for name in ("minimax", "non-saturating")
    )
    print(f"logit {logit:4.1f}: minimax {weak:.3f}, non-saturating {strong:.3f}")

# %%
# **What is the lowest loss that D can reach with one-sided smoothing?** Not 0: a D that knows every sample should still
# answer 0.9 to a real one, and pays the entropy of that target.

perfect = mg.tensor([float(np.log(0.9 / 0.1))]), mg.tensor([-100.0])
print(f"D's loss: {mg.gan.losses.discriminator(*perfect, smoothing=0.9).item():.4f}")
print(f"the entropy of 0.9: {-(0.9 * np.log(0.9) + 0.1 * np.log(0.1)):.4f}")
