r"""
First gradient
==============

How fast does :math:`y = x \tanh x` change when :math:`x` moves away from 0.5 a little? There are four ways to know, and the
table below has them side by side:

* *try it*: move :math:`x` a little to both sides, and see what happens;
* *on paper*: the product rule, and :math:`\tanh' = 1 - \tanh^2`;
* *by hand*: go back through the calculation one step at a time, and multiply;
* *minigan*: the same as by hand, for any calculation.

The gradient is the slope of the line that touches the curve.
"""

import math

import matplotlib.pyplot as plt
import numpy as np

import minigan as mg

f = lambda x: x * math.tanh(x)
h = 1e-5
tried = (f(0.5 + h) - f(0.5 - h)) / (2 * h)

on_paper = math.tanh(0.5) + 0.5 * (1 - math.tanh(0.5) ** 2)

x = mg.tensor(np.array(0.5), requires_grad=True)  # NumPy's float64 stays float64
y = x * x.tanh()
y.backward()

print(f"tried     {tried:.12f}")
print(f"on paper  {on_paper:.12f}")
print(f"minigan   {x.grad.item():.12f}")

# %%
points = np.linspace(-2, 2, 201)
_, ax = plt.subplots()
ax.plot(points, points * np.tanh(points), label="$y = x\\,\\tanh x$")
ax.axline(
    (0.5, f(0.5)), slope=x.grad.item(), color="C1", label=f"slope {x.grad.item():.3f}"
)
ax.plot(0.5, f(0.5), "o", color="C1")
ax.set(xlabel="x", ylabel="y", ylim=(-0.6, 2))
ax.legend()
plt.show()

# %%
# By hand, one step at a time
# ---------------------------
#
# The calculation has two steps: :math:`t = \tanh x`, then :math:`y = x\,t`. Begin at the end, where :math:`y` changes
# as fast as itself, and ask of each step how fast its result changes with what went in. What has been found so far is
# multiplied by that: this is the chain rule.

x0 = 0.5
t = math.tanh(x0)  # forwards
y0 = x0 * t

dy = 1.0  # and back
dt = dy * x0  # y = x t changes x times as fast as t
dx_direct = dy * t  # and t times as fast as x
dx_through_t = dt * (1 - t * t)  # t = tanh x changes 1 - t^2 times as fast as x

print(f"{dx_direct:.6f} + {dx_through_t:.6f} = {dx_direct + dx_through_t:.6f}")

# %%
# :math:`x` is used twice, so that it has an effect on :math:`y` in two ways. **Both add up.** That is all there is to
# it; the rest is the order of the steps, and :doc:`the next lesson </learn/engine/how_the_engine_works>` is about that.
#
# What minigan did
# ----------------
#
# It went back in the same way. `mg.study.explain` lists the steps: what came to each, by which formula it went on, and
# where. At the end, both ways come together in ``x``.

x = mg.tensor(np.array(0.5), requires_grad=True)
y = x * x.tanh()
mg.study.explain(y)

# %%
# How far is a difference to be trusted?
# --------------------------------------
#
# A difference has an :math:`h` to choose. With a large one, the curve bends between the two points: the error falls
# with :math:`h^2`. With a small one, two numbers are subtracted that are equal but for their last digits: the error
# grows with :math:`1/h`. In between is the best that a difference can do. A gradient has no :math:`h`.

steps = np.logspace(-12, 0, 100)


def error(h, dtype):
    """How far a difference with this h is from the gradient, computed in this dtype."""
    x, h = dtype(0.5), h.astype(dtype)
    move = lambda d: (x + d) * np.tanh(x + d)
    return np.abs((move(h) - move(-h)) / (2 * h) - on_paper) / on_paper


_, ax = plt.subplots()
ax.loglog(steps, error(steps, np.float64), ".", label="float64")
ax.loglog(steps, error(steps, np.float32), ".", label="float32")
ax.loglog(steps, steps**2 / 2, color="0.6", label="as $h^2$", zorder=0)
ax.set(xlabel="h", ylabel="relative error", ylim=(1e-13, 10))
ax.legend()
plt.show()

# %%
# Every rule in minigan is held to differences by a test, in float64 and with an :math:`h` near the best.
#
# Why not differences alone?
# --------------------------
#
# A difference answers for one number. A network has many, and each would take two passes through it. Going back once
# answers for all.

D = mg.gan.models.build("dcgan")[1]
weights = sum(p.size for p in D.parameters())
print(
    f"D has {weights:,} weights: {2 * weights:,} passes forwards by differences, or one forwards and one back"
)

# %%
# Two questions
# -------------
#
# **What is the gradient of y = x · x · x at 2, and what does each of the three x's contribute?** Each sees the other
# two as a constant 4; three times 4 is 12, which is :math:`3x^2`.

a, b, c = (
    mg.tensor(2.0, requires_grad=True) for _ in range(3)
)  # three names for what will be the same x
each = mg.grad(a * b * c, [a, b, c])
x = mg.tensor(2.0, requires_grad=True)
print([g.item() for g in each], "together", mg.grad(x * x * x, x).item())

# %%
# **Which h is best, and how many digits are right then?** The third root of the smallest step that the dtype can make
# from 1: there, what rounding spoils is as much as what the curve's bend does.

for dtype in (np.float32, np.float64):
    best = np.finfo(dtype).eps ** (1 / 3)
    digits = -np.log10(error(best * np.linspace(0.5, 2, 100), dtype))
    print(
        f"{dtype.__name__}: best near {best:.1e}, where {np.median(digits):.1f} digits are right"
    )
