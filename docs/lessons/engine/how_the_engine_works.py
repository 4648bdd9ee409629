r"""
How the engine works, in 10 minutes
===================================

An engine for gradients does two things. **Forwards**, each operation computes its result, and notes what went in and its
*rule*: given how fast the end changes with the result, how fast does it change with each input? **Back**, the operations
are visited from the last to the first; each hands what has arrived at it to its rule, and adds what the rule returns to what
has arrived at its inputs.

Here is one for single numbers, whole. minigan's does the same with arrays.
"""

import math


class Number:
    made = 0

    def __init__(self, value, inputs=(), rule=None):
        self.value, self.inputs, self.rule, self.grad = value, inputs, rule, 0.0
        Number.made += 1
        self.order = Number.made

    def __add__(self, other):
        return Number(self.value + other.value, (self, other), lambda dy: (dy, dy))

    def __mul__(self, other):
        return Number(
            self.value * other.value,
            (self, other),
            lambda dy: (dy * other.value, dy * self.value),
        )

    def tanh(self):
        y = math.tanh(self.value)
        return Number(y, (self,), lambda dy: (dy * (1 - y * y),))


def behind(y):
    """y and everything that it was computed from, each once."""
    found, to_visit = set(), [y]
    while to_visit:
        number = to_visit.pop()
        if number not in found:
            found.add(number)
            to_visit += number.inputs
    return found


def backward(y):
    y.grad = 1.0
    for number in sorted(behind(y), key=lambda n: n.order, reverse=True):
        if number.rule:
            for source, gradient in zip(
                number.inputs, number.rule(number.grad), strict=True
            ):
                source.grad += gradient


x = Number(0.5)
y = x * x.tanh()
backward(y)
print(x.grad)

# %%
# The same with minigan:

import matplotlib.pyplot as plt
import numpy as np

import minigan as mg

x = mg.tensor(np.array(0.5), requires_grad=True)
y = x * x.tanh()
y.backward()
print(x.grad.item())

# %%
# Why a topological order?
# ------------------------
#
# *From the last to the first* is the one thing here that isn't obvious. It has to be an order in which everything that
# uses a number comes before the number itself, called a topological order. Take :math:`a = 2x` and then
# :math:`b = a + a`. So :math:`b = 4x`, and the gradient is 4. The sum sends 1 to :math:`a` twice. What if its gradient
# goes on to :math:`x` at once, as soon as the first 1 is there?


def once_at_once(y, arrives=1.0, seen=()):
    """Each rule is called once, as soon as something has arrived."""
    seen = seen or set()
    y.grad += arrives
    if y.rule and y not in seen:
        seen.add(y)
        for source, gradient in zip(y.inputs, y.rule(y.grad), strict=True):
            once_at_once(source, gradient, seen)


def again_and_again(y, arrives=1.0):
    """Each rule is called whenever something arrives, with all that is there."""
    y.grad += arrives
    if y.rule:
        for source, gradient in zip(y.inputs, y.rule(y.grad), strict=True):
            again_and_again(source, gradient)


def piece_by_piece(y, arrives=1.0):
    """Each rule is called whenever something arrives, with only that."""
    global calls
    calls += 1
    y.grad += arrives
    if y.rule:
        for source, gradient in zip(y.inputs, y.rule(arrives), strict=True):
            piece_by_piece(source, gradient)


def doubled(x):
    a = x * Number(2.0)
    return a + a


def diamond(x):
    u = x * Number(2.0)
    v = u * Number(3.0)
    return u + v


calls = 0
print("the gradient of      a + a   diamond")
for walk in (backward, once_at_once, again_and_again, piece_by_piece):
    found = []
    for function in (doubled, diamond):
        x = Number(1.0)
        walk(function(x))
        found.append(x.grad)
    print(f"{walk.__name__:16} {found[0]:8} {found[1]:9}")

# %%
# The second is a diamond: :math:`u = 2x`, :math:`v = 3u`, :math:`y = u + v`, so that :math:`y = 8x`. From :math:`y` a
# short way and a long one lead to :math:`u`. Visited as soon as it is reached, :math:`u` sends on what came by the
# short way, and what comes by the long one is late. In the sum :math:`a + a`, the second 1 is.


# sphinx_gallery_start_ignore
def draw(ax, title, x_gets, late=False):
    """The diamond, with what is sent along each edge."""
    places = {"x": (0, 0), "u": (1, 0), "v": (2, 0.9), "y": (3, 0)}
    long_way = "3 · 1 comes late" if late else "3 · 1"
    labels = {"yu": ("1", 0, -0.2), "yv": ("1", 0.2, 0.1), "ux": (x_gets, 0, -0.2)}
    for edge, (label, right, up) in (labels | {"vu": (long_way, -0.2, 0.1)}).items():
        (x0, y0), (x1, y1) = places[edge[0]], places[edge[1]]
        colour = "C3" if late and edge == "vu" else "C0"
        arrow = {"arrowstyle": "-|>", "color": colour, "shrinkA": 11, "shrinkB": 11}
        ax.annotate("", (x1, y1), (x0, y0), arrowprops=arrow)
        side = "right" if right < 0 else "center"
        x, y = (x0 + x1) / 2 + right, (y0 + y1) / 2 + up
        ax.text(x, y, label, ha=side, va="center", color=colour)
    for name, place in places.items():
        ax.plot(*place, "o", color="white", markeredgecolor="0.4", markersize=20)
        ax.text(*place, name, ha="center", va="center")
    ax.set(xlim=(-0.4, 3.4), ylim=(-0.45, 1.3), title=title)
    ax.axis("off")


# sphinx_gallery_end_ignore
_, (left, right) = plt.subplots(1, 2, figsize=(6.8, 2.2))
draw(left, "last made first: y, v, u, x", "2 · (1 + 3) = 8")
draw(right, "at once: y, u, x, v", "2 · 1 = 2", late=True)
plt.show()

# %%
# Piece by piece, the number is right: each way from the end to :math:`x` is followed by itself. But there are many
# ways. With :math:`n` doublings one after the other there are :math:`2^n`, and a network is a long chain of such
# things.

depths = range(1, 15)
by_pieces, in_order = [], []
for n in depths:
    x = y = Number(1.0)
    for _ in range(n):
        y = y + y
    calls = 0
    piece_by_piece(y)
    by_pieces.append(calls)
    in_order.append(len(behind(y)))

_, ax = plt.subplots()
ax.semilogy(depths, by_pieces, "o-", label="piece by piece")
ax.semilogy(depths, in_order, "o-", label="in order, each once")
ax.set(xlabel="doublings", ylabel="visits")
ax.legend()
plt.show()

# %%
# An order that is always right comes for nothing: **a number is made after what it is made of**. So count what is made,
# and go through it backwards. There is no need to sort a graph, nor for recursion, which ends in Python at some
# thousand levels.
#
# minigan's nodes
# ---------------
#
# minigan has a ``Node`` for each call of an op, and the same walk in ``minigan/autodiff/graph.py``. A node holds its
# number, the op with its rules, where each input came from, and *what the rules asked for by name*, nothing else:
# ``mul`` keeps an input only if the other one needs a gradient, and ``tanh`` its result and not its input.

from minigan.autodiff.graph import reachable

x = mg.tensor([0.5, -1.0], requires_grad=True)
loss = (x * 3.0).tanh().sum()
nodes = reachable([loss._edge])
first = nodes[-1].number
print("order  op    keeps")
for node in nodes:
    keeps = ", ".join(node.saved)
    print(f"{node.number - first + 1:5}  {node.plan.op.name:4}  {keeps}")

# %%
# `mg.study.graph` draws the nodes, with the loss at the top and a line for each gradient that is sent. This is the
# diamond from above; at ``u`` two lines meet.

x = mg.tensor(1.0, requires_grad=True)
u = x * 2.0
v = u * 3.0
mg.study.graph(u + v)

# %%
# Four things are more than in the small engine:
#
# * **Arrays.** Where shapes were broadcast, what a rule returns is summed back to the input's shape, once, by the
#   engine.
# * **Only what was asked for.** :func:`mg.grad` first finds the nodes on the way to its targets, and calls no other
#   rule.
# * **Memory.** What a node kept is let go as soon as its rules have run. Nodes know their inputs and not their results,
#   so that a graph goes away with the last name for its end.
# * **Tensors in place of arrays.** With ``create_graph=True`` the rules are called with Tensors, and so recorded:
#   :doc:`/learn/engine/one_rule_three_uses`.

# %%
# Two questions
# -------------
#
# **What happens if you go back through the same graph twice?** What the nodes kept is gone, and minigan says so.
# ``retain_graph=True`` keeps it.

x = mg.tensor(2.0, requires_grad=True)
y = x * x
y.backward()
try:
    y.backward()
except mg.errors.FreedGraph as error:
    print(type(error).__name__, "...", str(error).partition("; ")[2])

# %%
# **How many of D's rules run to find dL/dX alone?** Those on the way from the loss to the images. Every layer's input
# is on it, and no weight is.

_, D = mg.gan.models.build("gan")
images = mg.tensor(mg.data.digits()[0][:4], requires_grad=True)
loss = mg.gan.losses.non_saturating(D(images))
everything, message = mg.study.record(loss), mg.study.record(loss, images)
count = lambda record: sum(
    sent.size is not None for row in record.rows for sent in row.sent
)
print(
    f"{count(everything)} gradients with the weights' among them, {count(message)} for the images alone"
)
