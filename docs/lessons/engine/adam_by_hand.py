r"""
Adam by hand
============

Adam steps along the *mean* of the gradients so far, divided by the root of the *mean of their squares*, both fading with time:

.. math::

   m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t

.. math::

   v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2

.. math::

   w_t = w_{t-1} - \eta \, \frac{m_t / (1 - \beta_1^t)}{\sqrt{v_t / (1 - \beta_2^t)} + \epsilon}

A gradient ten times as large makes both :math:`m` and the root of :math:`v` ten times as large. So the size of a step is set by
:math:`\eta`, the learning rate, and by how well the gradients agree with each other, and not by how large they are. Below it
is in five lines, beside :class:`mg.optim.Adam`.
"""

import matplotlib.pyplot as plt
import numpy as np

import minigan as mg

rng = np.random.default_rng(0)
gradients = rng.normal(size=(50, 4)) * [1e-3, 1.0, 1.0, 1e3] + [0.0, 0.0, 2.0, 0.0]


def adam(w, gradients, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    """The values of w after each gradient."""
    m, v, path = 0.0, 0.0, [w]
    for t, g in enumerate(gradients, 1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        w = w - lr * (m / (1 - betas[0] ** t)) / (
            np.sqrt(v / (1 - betas[1] ** t)) + eps
        )
        path.append(w)
    return np.array(path)


by_hand = adam(np.ones(4), gradients)

w = mg.tensor(np.ones(4), requires_grad=True)
opt = mg.optim.Adam([w], lr=1e-3)
by_minigan = [w.numpy().copy()]
for g in gradients:
    w.grad = mg.tensor(g)
    opt.step()
    by_minigan.append(w.numpy().copy())

print("by hand ", by_hand[-1])
print("minigan ", by_minigan[-1])
print(f"largest difference {np.abs(by_hand - by_minigan).max():.1e}")
moved = np.abs(by_hand[-1] - 1)
print(f"the last weight moved {moved[3] / moved[0]:.1f} times as far as the first")

# %%
# They agree to the last digits, though not by the same arithmetic: minigan divides :math:`\eta` by
# :math:`1 - \beta_1^t` first, which is one number, and not :math:`m`, which is as many as there are weights. Another
# order is another rounding of the step, by some :math:`10^{-19}`, and the weight, which is near 1, has digits down to
# :math:`10^{-16}`.
#
# The last weight's gradients are a million times the first one's, and it has moved about as far. The third's keep their
# direction, and it has moved farthest.
#
# Why the first step has the size of the learning rate
# ----------------------------------------------------
#
# At :math:`t = 1` both means are of a single gradient: :math:`m_1/(1 - \beta_1) = g` and
# :math:`v_1/(1 - \beta_2) = g^2`. What is left is :math:`\eta\, g/|g|`: the learning rate with the gradient's sign.

for g in (1e-4, -1.0, 1e4):
    first = adam(0.0, [g], lr=0.001)[1]
    print(f"gradient {g:8}: first step {first:+.6f}")

# %%
# Without the two corrections :math:`1 - \beta^t` the means would begin at 0 and be too small at first. Not by the same
# factor: the root of the second is too small by more, so that the first steps would be too *large*, by
# :math:`(1 - \beta_1)/\sqrt{1 - \beta_2}`.

pairs = {
    "(0.9, 0.999)": (0.9, 0.999),
    "(0.5, 0.999)": (0.5, 0.999),
    "(0, 0.99)": (0, 0.99),
}
t = np.arange(1, 301)
_, ax = plt.subplots()
for name, (beta1, beta2) in pairs.items():
    size = (1 - beta1**t) / np.sqrt(1 - beta2**t)
    ax.semilogy(t, size, label=f"betas {name}, not corrected: first {size[0]:.1f}")
ax.axhline(1, color="0.4", label="corrected")
ax.set(xlabel="steps with the same gradient", ylabel="size of a step / learning rate")
ax.legend()
plt.show()

# %%
# Betas in a GAN
# --------------
#
# (0.9, 0.999) is Adam's default, (0.5, 0.999) is DCGAN's choice, and (0, 0.99) is that of many later GANs, and of
# minigan's ``dcgan`` preset. Why less momentum? Because a game turns. The smallest one is :math:`\min_x \max_y \, x y`,
# whose gradients lead around the equilibrium at 0 and not to it. Momentum is what the gradient was some steps ago,
# about :math:`1/(1-\beta_1)` of them; in a game that turns, it points outwards.


def play(betas, steps=2000, lr=0.02):
    """Both players' places, each moved by its own Adam, at the same time."""
    place = mg.tensor([1.0, 0.0], requires_grad=True)
    opt = mg.optim.Adam([place], lr=lr, betas=betas)
    path = []
    for _ in range(steps):
        x, y = place.numpy()
        path.append((x, y))
        place.grad = mg.tensor([y, -x])  # x goes down the slope of xy, y goes up
        opt.step()
    return np.array(path)


_, axes = plt.subplots(1, 4, figsize=(7, 2.2), width_ratios=[1, 1, 1, 1.3])
for i, (name, betas) in enumerate(pairs.items()):
    path = play(betas)
    distance = np.hypot(*path.T)
    axes[i].plot(*path.T, color=f"C{i}", linewidth=0.7)
    axes[i].plot(*path[0], "o", color="0.3", markersize=4)
    axes[i].plot(0, 0, "+", color="0.3")
    axes[i].set(title=name, aspect="equal", adjustable="datalim")
    axes[3].plot(distance, color=f"C{i}")
    print(f"betas {name}: from distance 1 to {distance[-1]:.2f} in {len(path)} steps")
axes[3].set(title="distance from 0", xlabel="step")
plt.show()

# %%
# With the default the players drive each other away from the equilibrium, and without momentum they stay near it.
# Neither comes to rest there, because a step of Adam has the size of the learning rate however small the gradient is:
# that is why the rate falls to 0 towards the end of minigan's recipe.

# %%
# Two questions
# -------------
#
# **What does Adam do if the loss is multiplied by 1000?** Nothing else, but for what :math:`\epsilon` changes.

paths = [adam(np.ones(4), scale * gradients) for scale in (1, 1000)]
print(
    f"largest difference between the two runs: {np.abs(paths[0] - paths[1]).max():.1e}"
)

# %%
# **A gradient has been 1 for a thousand steps and is 0 from then on. After how many steps has the step fallen to a
# tenth?** As many as :math:`\beta_1` must be multiplied by itself: the square's mean fades much more slowly.

stopping = np.array([1.0] * 1000 + [0.0] * 50)
for name, betas in pairs.items():
    sizes = np.abs(np.diff(adam(0.0, stopping, betas=betas)))[999:]
    print(f"betas {name}: {np.argmax(sizes <= sizes[0] / 10)} steps")
