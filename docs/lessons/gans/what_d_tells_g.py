r"""
What D tells G
==============

**What does a generator hear from its discriminator?** One number for every pixel of every image that it made:
:math:`\partial L_G / \partial X`, how its loss would change with the ink there. D's weights, D's reasons and the real
images stay hidden. G's own weights learn by the chain rule from this message, whoever sent it:

.. code-block:: python

   fake = G(z)
   dL_dX = mg.grad(g_loss(D(fake)), fake)  # the message
   fake.backward(dL_dX)                    # carried on into G's weights

The message can be looked at like any image, and this page watches it over a short training run. First it is the noise
of D's own starting weights, soon it says the same to everybody, ink in the middle and none at the rim, and then it
begins to speak of strokes.
"""

from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np

import minigan as mg
from minigan.gan import losses, models

# %%
# A short run, with copies of D
# -----------------------------
# A narrow DCGAN on the embedded digits. Its D has no batch norm, so that what it says of an image does not depend on
# the others beside it. At four moments a copy of D is laid aside, and what G made.

rng = np.random.default_rng(0)
latents = lambda n: mg.tensor(rng.standard_normal((n, 100), dtype="float32"))
images, _ = mg.data.digits()
G, D = models.dcgan28_generator(rng=0, width=16), models.dcgan28_critic(rng=1, width=16)
opt_g, opt_d = (
    mg.optim.Adam(net.parameters(), lr=2e-3, betas=(0.5, 0.999)) for net in (G, D)
)
loader = mg.data.Loader(images, batch_size=32)
moments, copies, drawn, norms = (1, 10, 50, 200), {}, {}, []

for step in range(1, 201):
    (real,), fake = loader.next(), G(latents(32))
    mg.gan.discriminator_step(D, opt_d, mg.tensor(real), fake, losses.discriminator)
    opt_g.zero_grad()
    dL_dX = mg.grad(losses.non_saturating(D(fake)), fake)
    fake.backward(dL_dX)
    opt_g.step()
    norms.append(np.linalg.norm(dL_dX.numpy()))
    if step in moments:
        copies[step], drawn[step] = deepcopy(D), fake.numpy()

# %%
# The same images under four Ds
# -----------------------------
# Noise, G's image of each moment, a digit, the digit with a blot, and the digit with a piece cut out. Below them is
# dL/dX by each copy of D. Red: D wants less ink here; blue: more. Each row has its own scale, with its numbers at the
# right.

digit = images[2310]
blot, cut = digit.copy(), digit.copy()
blot[0, 3:7, 3:7] = 1
cut[0, 12:16] = -1
noise = rng.uniform(-1, 1, digit.shape).astype("float32")
shown = np.stack([noise, *(made[0] for made in drawn.values()), digit, blot, cut])
names = ["noise", *(f"G, {step}" for step in moments), "a digit", "a blot", "a cut"]


def message(D, x):
    """dL/dX of each image: a mean over the batch would make it smaller."""
    loss = lambda x: losses.non_saturating(D(x)) * x.shape[0]
    return mg.study.image_gradient(loss, x)[1]


messages = {f"step {step}": message(copy, shown) for step, copy in copies.items()}
figure = plt.figure(figsize=(6.4, 4.0))
mg.study.gradient_picture(shown, messages, names, figure)

# %%
# How loud, and how steady
# ------------------------
# The norm of the message over training, and whether D says the same today as yesterday: the cosine between what two
# Ds say of the same image. A message that turns all the time is no map that one could walk down to the end; G takes
# one step and asks again.

flat = np.stack([m.reshape(len(shown), -1) for m in messages.values()])
unit = flat / np.linalg.norm(flat, axis=2, keepdims=True)
alike = np.einsum("sip,tip->st", unit, unit) / len(shown)

# sphinx_gallery_start_ignore
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.5), width_ratios=[3, 2])
left.plot(range(1, 201), norms, color="#0072b2", linewidth=1)
left.set(xlabel="step", ylabel="norm of dL/dX of a batch", yscale="log")
table = right.imshow(alike, cmap="RdBu_r", vmin=-1, vmax=1)
for i, j in np.ndindex(alike.shape):
    right.text(
        j,
        i,
        f"{alike[i, j]:.2f}",
        ha="center",
        va="center",
        color="w" if alike[i, j] > 0.7 else "k",
        fontsize=8,
    )
right.set(title="cosine of two Ds' messages", xlabel="D of step", ylabel="D of step")
right.set(xticks=range(4), xticklabels=moments, yticks=range(4), yticklabels=moments)
# sphinx_gallery_end_ignore

# %%
# If the pixels could have their way
# ----------------------------------
# Here G's last images follow D themselves, in 20 small steps up its logit, and D stays as it is. They are changed
# where D looks, and not turned into digits: that takes a D that learns on, as in
# :doc:`/learn/gans/fooling_a_network`.

made = fake.numpy()[:10]
moved, logits = mg.study.fool(lambda x: D(x).mean(), made, eps=0.5, steps=20)
# sphinx_gallery_start_ignore
fig, axes = plt.subplots(2, 10, figsize=(6.4, 1.4))
for row, batch, name in zip(
    axes, (made, moved), ("as G made it", "as D wants it"), strict=True
):
    for ax, image in zip(row, batch[:, 0], strict=True):
        ax.imshow(image, vmin=-1, vmax=1)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
# sphinx_gallery_end_ignore
print(f"D's logit of them: {logits[0]:.2f} before, {logits[-1]:.2f} after")

# %%
# Two questions
# -------------
# **Do G's images move the way that D said?** Only as far as G can. Its weights are shared by all images and all
# pixels, so a step of them moves the images along a blend of all the messages. The cosine between the wish and what
# came of it, for a small step:

z = latents(32)
fake = G(z)
dL_dX = mg.grad(losses.non_saturating(D(fake)), fake)
opt = mg.optim.SGD(G.parameters(), lr=1e-4)
opt.zero_grad()
fake.backward(dL_dX)
opt.step()
change, wish = (G(z).numpy() - fake.numpy()).ravel(), -dL_dX.numpy().ravel()
print(f"cosine: {change @ wish / np.linalg.norm(change) / np.linalg.norm(wish):.2f}")

# %%
# **What would D tell G of a real image?** The less, the surer D is that it is real. The message is D's own gradient
# times the derivative of the loss at the logit, and that is the probability which D gives to "generated":

print("         real:  doubt  norm   generated:  doubt  norm")
for step, copy in copies.items():
    print(f"step {step:3}:    ", end="")
    for x in (images[::200], drawn[step]):
        doubt = mg.ops.sigmoid(-copy(mg.tensor(x))).numpy().mean()
        norm = np.linalg.norm(message(copy, x).reshape(len(x), -1), axis=1).mean()
        print(f"{doubt:9.2f} {norm:5.3f}", end="         ")
    print()
