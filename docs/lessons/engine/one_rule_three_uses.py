r"""
One rule, three uses
====================

A gradient rule in minigan is a few lines of ordinary array mathematics, written once. It is used in three ways: **to train**,
called with plain arrays, as fast as if it stood in the training loop; **to differentiate a gradient**, called with Tensors, which
remember what is done to them; and **to study**, as the formula beside it.

Here is an op, softsign, whose rule tells what it is called with:
"""

import matplotlib.pyplot as plt
import numpy as np

import minigan as mg


@mg.op
def softsign(xp, x):
    return x / (1 + xp.abs(x))


@softsign.gradient(
    "x", formula=r"\partial L/\partial x = \partial L/\partial y \, (1 - |y|)^2"
)
def _(F, dy, y):
    print(f"  rule called with {type(dy).__name__} and {type(y).__name__}")
    return dy * (1 - F.abs(y)) ** 2


x = mg.tensor([-1.0, 0.5, 2.0], requires_grad=True)

print("to train:")
g = mg.grad(softsign(x).sum(), x)
print("  gradient", g.numpy(), "of which nothing more can be asked:", g.requires_grad)

print("to differentiate a gradient:")
g = mg.grad(softsign(x).sum(), x, create_graph=True)
print("  gradient", g.numpy(), "with a way back:", g.requires_grad)

print("to study:")
print(" ", mg.study.formula.text(softsign.rules[0].formula))

# %%
# 1. To train
# -----------
#
# In training nobody asks for the gradient of a gradient. So the walk hands the arrays themselves to the rule, ``F``
# stands for the plain functions, nothing is recorded, and no Tensor is made. What the rule's parameters name is what
# was kept from the forward call: ``y``, and not ``x``.

from minigan.autodiff.graph import reachable

(node, *_) = reachable([softsign(x)._edge])
print("kept:", ", ".join(node.saved))

# %%
# 2. To differentiate a gradient
# ------------------------------
#
# With ``create_graph=True`` the very same lines get Tensors. Multiplication, ``F.abs`` and the power are ops then, with
# rules of their own, and what comes out has a graph behind it. So there is no second derivative to write, nor a third:
# these four curves come from the one rule above.


@mg.op
def quiet_softsign(xp, x):
    return x / (1 + xp.abs(x))


@quiet_softsign.gradient("x", formula=softsign.rules[0].formula)
def _(F, dy, y):
    return dy * (1 - F.abs(y)) ** 2


points = np.linspace(-3, 3, 301)
x = mg.tensor(points, requires_grad=True)
curves = [quiet_softsign(x)]
for _ in range(3):
    curves.append(mg.grad(curves[-1].sum(), x, create_graph=True))

titles = ["softsign", "1st derivative", "2nd", "3rd"]
_, axes = plt.subplots(1, 4, figsize=(7, 2.1), sharex=True)
for ax, curve, title in zip(axes, curves, titles, strict=True):
    at_kink = np.abs(points) < 0.01  # |y| has no slope at 0
    ax.plot(points, np.where(at_kink, np.nan, curve.numpy()))
    ax.set(title=title, xlabel="x")
plt.show()

# %%
# Is it right? A derivative of any order can be held against differences of the one before.

h = 1e-5
spot = mg.tensor(np.array([-1.0, 0.5, 2.0]), requires_grad=True)


def derivative(order, x):
    x = mg.tensor(x, requires_grad=True)
    y = quiet_softsign(x)
    for _ in range(order):
        y = mg.grad(y.sum(), x, create_graph=True)
    return y.numpy()


at = spot.numpy()
for order in (1, 2, 3):
    change = derivative(order - 1, at + h) - derivative(order - 1, at - h)
    print(f"order {order}, by the rule:", derivative(order, at).round(6))
    print("      by differences:", (change / (2 * h)).round(6))

# %%
# In a GAN this is what a gradient penalty needs: a loss made of D's gradient, whose gradient goes to D's weights.
#
# 3. To study
# -----------
#
# The formula stands beside the code. The reference typesets it, and `mg.study.explain` shows it with the numbers of a
# backward pass:

x = mg.tensor([-1.0, 0.5, 2.0], requires_grad=True)
loss = (quiet_softsign(x) ** 2).sum()
mg.study.explain(loss)

# %%
# What a rule must keep to
# ------------------------
#
# All this works as long as the rule says all that it knows by its parameters. Below, the kernel keeps a number to
# itself, the norm, and the rule reads it from the side. As arrays go, that is right. As Tensors go, it isn't: the norm
# came in as a constant, and a constant has no derivative. A check of second order finds it:

from minigan.testing import CheckFailed, check_grads

kept = {}


@mg.op
def to_unit(xp, x):
    kept["norm"] = xp.sqrt((x * x).sum())
    return x / kept["norm"]


FORMULA = r"""\partial L/\partial x =
(\partial L/\partial y - y \operatorname{sum}(\partial L/\partial y \, y)) / |x|"""


@to_unit.gradient("x", formula=FORMULA)
def _(F, dy, y):
    return (dy - y * F.sum(dy * y)) / kept["norm"]


v = np.array([0.6, -0.5, 1.2])
check_grads(to_unit, v)
print("first order: right")
try:
    check_grads(to_unit, v, order=2)
except CheckFailed as error:
    print("second order: wrong,", str(error).splitlines()[0].partition(": ")[2])

# %%
# Named as an output, or computed in the rule from ``x``, it is part of the graph. That is why every floating array that
# a rule reads has to be an input or a declared output of its op: :doc:`/how-to/write-an-op`.

# %%
# Two questions
# -------------
#
# **How often does softsign's rule run on the way to a third derivative?** Three times, once on each way back. A walk
# visits every call once, after all that reads its result, and each derivative reads ``y`` in more places than the one
# before.


def calls_for(order):
    """Rules of softsign that run for the last of so many derivatives, and those of all ops."""
    x = mg.tensor([0.5], requires_grad=True)
    y = quiet_softsign(x)
    for _ in range(order - 1):
        y = mg.grad(y.sum(), x, create_graph=True)
    rows = [row for row in mg.study.record(y.sum(), x).rows if row.computed]
    return sum(row.op == "quiet_softsign" for row in rows), len(rows)


for order in (1, 2, 3):
    own, of_all = calls_for(order)
    print(f"derivative {order}: {own} of softsign, {of_all} ops on the way back")

# %%
# **The rule could read x instead of y. What would change?** The numbers, no; what is kept, yes. Here both have the same
# size, but ``y`` is kept by whatever comes next anyway, as its input, while ``x`` may be needed by nobody else.


@mg.op
def softsign_of_x(xp, x):
    return x / (1 + xp.abs(x))


@softsign_of_x.gradient(
    "x", formula=r"\partial L/\partial x = \partial L/\partial y / (1 + |x|)^2"
)
def _(F, dy, x):
    return dy / (1 + F.abs(x)) ** 2


x = mg.tensor(v, requires_grad=True)
for op in (quiet_softsign, softsign_of_x):
    node = reachable([op(x)._edge])[0]
    print(mg.grad(op(x).sum(), x).numpy(), "keeping", ", ".join(node.saved))
