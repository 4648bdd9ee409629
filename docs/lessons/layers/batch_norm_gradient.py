r"""
Batch norm's gradient
=====================

**How does a gradient find its way back through batch norm?** On three paths: a sample reaches its own output
directly, and everybody's output through the variance and through the mean of the batch. Added up, for one channel
with the values :math:`x_1, \dots, x_n`, :math:`y = \gamma \hat x + \beta` and :math:`\hat x = (x - \mu) /
\sqrt{\sigma^2 + \varepsilon}`, they give

.. math::

   \frac{\partial L}{\partial x} = \frac{\gamma}{\sqrt{\sigma^2 + \varepsilon}}
   \left( \mathit{dy} - \operatorname{mean}(\mathit{dy}) - \hat x \, \operatorname{mean}(\mathit{dy} \, \hat x) \right).

What arrives loses its mean, and it loses the part that points along :math:`\hat x`. It has to: a constant added to
all of :math:`x` is taken off again by the mean, and a factor by the variance, so the loss cannot depend on either,
but for :math:`\varepsilon`. Hence the two identities :math:`\sum \mathit{dx} = 0` and :math:`\sum \mathit{dx} \, \hat
x \approx 0`.

Below, the formula is built step by step, each step is held to minigan's engine, and the whole to finite differences.
The layer is that of `Ioffe and Szegedy (2015) <https://arxiv.org/abs/1502.03167>`_.
"""

import matplotlib.pyplot as plt
import numpy as np

import minigan as mg

rng = np.random.default_rng(0)
n, channels, eps = 8, 3, 1e-3
x = rng.normal(2.0, 3.0, (n, channels))
weight, bias = rng.uniform(0.5, 2.0, channels), rng.normal(size=channels)
dy = rng.normal(size=(n, channels))  # what arrives from the loss

# %%
# Forwards, in five steps
# -----------------------
# Nothing but sums, products and a root. The loss is any that sends ``dy``, so the simplest: ``(y * dy).sum()``.

X = mg.tensor(x, requires_grad=True)
mean = X.mean(axis=0)
centred = X - mean
var = (centred**2).mean(axis=0)
xhat = centred * (var + eps) ** -0.5
y = xhat * mg.tensor(weight) + mg.tensor(bias)
loss = (y * mg.tensor(dy)).sum()

# %%
# The engine's own account of the way back, from the loss down to ``x``:

mg.study.explain(loss)

# %%
# Backwards, one step at a time
# -----------------------------
# The same by hand. ``centred`` is used twice, in ``xhat`` and in ``var``, so that it hears from both; so is ``x``, in
# ``centred`` and in ``mean``.

std = np.sqrt(var.numpy() + eps)
c = centred.numpy()

dxhat = dy * weight  # y = weight * xhat + bias
dvar = (dxhat * c).sum(axis=0) * -0.5 * std**-3  # xhat = centred * (var + eps)^(-1/2)
dcentred = dxhat / std + dvar * 2 * c / n  # directly, and through var = mean(centred^2)
dmean = -dcentred.sum(axis=0)  # centred = x - mean
dx = dcentred + dmean / n  # directly, and through mean

# %%
# The engine can be asked for the gradient at any of these:

by_hand = {"xhat": dxhat, "var": dvar, "mean": dmean, "x": dx}
by_engine = mg.grad(loss, [xhat, var, mean, X])
print("gradient at   largest difference")
for (name, mine), its in zip(by_hand.items(), by_engine, strict=True):
    print(f"{name:10s}  {abs(mine - its.numpy()).max():20.1e}")

# %%
# The three paths, drawn for one channel. The direct one is what arrives, scaled; the other two take something off
# every sample, in proportion to its :math:`\hat x` and all alike:

paths = {
    "directly": dxhat / std,
    "through the variance": dvar * 2 * c / n,
    "through the mean": np.broadcast_to(dmean / n, x.shape),
}
# sphinx_gallery_start_ignore
fig, ax = plt.subplots(figsize=(6.4, 2.8))
for i, ((name, part), colour) in enumerate(
    zip(paths.items(), ("#0072b2", "#e69f00", "#999999"), strict=True)
):
    ax.bar(np.arange(n) + 0.22 * (i - 1), part[:, 0], 0.2, label=name, color=colour)
ax.plot(
    range(n), dx[:, 0], "k_", markersize=22, markeredgewidth=2, label="their sum, dL/dx"
)
ax.axhline(0, color="k", linewidth=0.6)
ax.set(xlabel="sample of the batch", ylabel="dL/dx, first channel")
fig.legend(loc="outside upper center", ncols=4, fontsize=8)
# sphinx_gallery_end_ignore

# %%
# The closed form
# ---------------
# Put in from above, ``dvar`` and ``dmean`` vanish from the text, and the formula at the top of the page is left.
# minigan's :func:`mg.ops.batch_norm` is one op with one rule, which computes the same; a change of each ``x`` by hand
# says so too.


def closed_form(x, dy, weight, eps):
    std = np.sqrt(x.var(axis=0) + eps)
    xhat = (x - x.mean(axis=0)) / std
    return weight / std * (dy - dy.mean(axis=0) - xhat * (dy * xhat).mean(axis=0))


def batch_norm(x, eps):
    return mg.ops.batch_norm(x, mg.tensor(weight), mg.tensor(bias), eps=eps)


def by_rule(x, dy, eps):
    X = mg.tensor(x, requires_grad=True)
    return mg.grad(batch_norm(X, eps), X, mg.tensor(dy)).numpy()


def by_differences(x, dy, eps, step=1e-5):
    value = lambda x: (batch_norm(mg.tensor(x), eps).numpy() * dy).sum()
    result = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        there = np.zeros_like(x)
        there[i] = step
        result[i] = (value(x + there) - value(x - there)) / (2 * step)
    return result


print("the step-by-step gradient against  largest difference")
for name, other in {
    "the closed form": closed_form(x, dy, weight, eps),
    "minigan's rule": by_rule(x, dy, eps),
    "finite differences": by_differences(x, dy, eps),
}.items():
    print(f"{name:33s}  {abs(dx - other).max():18.1e}")

# %%
# Two sums that vanish
# --------------------
# The first is exact. The second is not quite: :math:`\varepsilon` breaks the freedom of scale, for a batch that is
# made ten times larger does not look quite the same beside a fixed :math:`\varepsilon`. From the closed form, with
# :math:`\operatorname{mean}(\hat x^2) = \sigma^2 / (\sigma^2 + \varepsilon)`,
#
# .. math::
#
#    \sum \mathit{dx} \, \hat x = \frac{\gamma}{\sqrt{\sigma^2 + \varepsilon}} \, \frac{\varepsilon}{\sigma^2 + \varepsilon}
#    \sum \mathit{dy} \, \hat x ,
#
# which falls with :math:`\varepsilon` in proportion and is 0 for none:

values = np.array([0.0, *np.logspace(-12, 2, 29)])
along, total, expected = [], [], []
for e in values:
    std = np.sqrt(x.var(axis=0) + e)
    xhat = (x - x.mean(axis=0)) / std
    dx = by_rule(x, dy, e)
    total.append(abs(dx.sum(axis=0)).max())
    along.append(abs((dx * xhat).sum(axis=0)[0]))
    expected.append(abs(weight / std * e / std**2 * (dy * xhat).sum(axis=0))[0])

# sphinx_gallery_start_ignore
fig, ax = plt.subplots(figsize=(6.4, 2.8))
ax.loglog(
    values[1:],
    expected[1:],
    color="#e69f00",
    linewidth=5,
    alpha=0.5,
    label="|Σ dx xhat| by the formula",
)
ax.loglog(values[1:], along[1:], "k.", markersize=4, label="|Σ dx xhat| by minigan")
ax.loglog(
    values[1:],
    np.maximum(total[1:], 1e-17),
    "s",
    color="#0072b2",
    markersize=3,
    label="|Σ dx|: rounding",
)
ax.axvline(1e-5, color="0.6", linewidth=0.8, linestyle="--")
ax.text(1.3e-5, 3e-17, "the usual eps", color="0.4", fontsize=8)
ax.set(xlabel="eps", ylabel="size of the sum")
ax.legend(fontsize=8, loc="upper left")
# sphinx_gallery_end_ignore
print(f"eps = 0: |Σ dx| = {total[0]:.1e}, |Σ dx xhat| = {along[0]:.1e}")

# %%
# One sample, all samples
# -----------------------
# The three paths say that every output hears from every input of its channel. Here is the whole table :math:`\partial
# y_i / \partial x_j` for one channel: a diagonal, less a constant, less a product of two :math:`\hat x`. With running
# statistics, in evaluation, nothing but the diagonal is left. This is why a penalty on the gradient of *each* sample,
# as in WGAN-GP, needs a critic without batch norm.

rows = []
for i in range(n):
    one = np.zeros((n, channels))
    one[i, 0] = 1
    rows.append(by_rule(x, one, eps)[:, 0])
fixed = np.eye(n) * weight[0] / np.sqrt(x[:, 0].var() + eps)
# sphinx_gallery_start_ignore
reach = abs(fixed).max()
fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.7))
for ax, table, title in zip(
    axes, (np.array(rows), fixed), ("training", "evaluation"), strict=True
):
    shown = ax.imshow(table, cmap="RdBu_r", vmin=-reach, vmax=reach)
    ax.set(title=title, xlabel="input x_j", xticks=range(n), yticks=range(n))
axes[0].set_ylabel("output y_i")
fig.colorbar(shown, ax=axes, label="dy_i / dx_j", shrink=0.9)
# sphinx_gallery_end_ignore

size = np.linalg.svd(np.array(rows), compute_uv=False)
print("its singular values:", *(f"{s:.2g}" for s in size))
print("two directions are lost: all samples together, and all away from their mean")

# %%
# Two questions
# -------------
# **A loss wants every output of a channel larger, by the same amount. What does it tell x?** Nothing: ``dy`` is its
# own mean. Only the bias can answer such a wish, and gets all of it.

X, B = mg.tensor(x, requires_grad=True), mg.tensor(bias, requires_grad=True)
y = mg.ops.batch_norm(X, mg.tensor(weight), B)
dx, dbias = mg.grad(y.sum(), [X, B])
print(f"largest |dL/dx|: {abs(dx.numpy()).max():.0e}, dL/dbias: {dbias.numpy()}")

# %%
# **The layer below doubles its weights, so that x is twice as large. What becomes of y, and of dL/dx?** y stays, and
# the gradient is halved. A layer whose weights have grown learns more slowly, by itself.

for factor in (1, 2, 4):
    X = mg.tensor(factor * x, requires_grad=True)
    y = batch_norm(X, eps=1e-5)
    length = np.linalg.norm(mg.grad(y, X, mg.tensor(dy)).numpy())
    print(f"{factor} x: first y {y.numpy()[0, 0]:.4f}, norm of dL/dx {length:.4f}")
