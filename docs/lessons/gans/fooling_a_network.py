r"""
Fooling a network
=================

**How do you fool a network that you cannot change?** Change the image. The network's loss has a gradient with respect
to every pixel, :math:`\partial L / \partial X`, and a step along its sign,

.. math::

   X' = X + \epsilon \, \operatorname{sign} \frac{\partial L}{\partial X} ,

moves all pixels by the same small :math:`\epsilon` so that the loss rises as fast as it can. A classifier of digits
that is hardly ever wrong is then wrong on most, and we still read them as before (`Goodfellow et al. 2015
<https://arxiv.org/abs/1412.6572>`_).

Now let the fooled network learn from the images that fooled it, and follow its gradient again. That is the idea of a
GAN (`Goodfellow et al. 2014 <https://arxiv.org/abs/1406.2661>`_), still without a generator, and it draws digits
already: the last picture on this page.
"""

import matplotlib.pyplot as plt
import numpy as np

import minigan as mg
from minigan.gan import losses, models

images, labels = mg.data.digits()
judge = mg.metrics.judge()  # a trained classifier of digits
print("of MNIST's test digits it gets right:", judge.facts["test_accuracy"])

# %%
# What the pixels have to say
# ---------------------------
# The loss may be any number that is computed from images. Take how sure the classifier is of the truth, the logit of
# the right class. Where dL/dX is red, more ink makes it surer, where it is blue, less sure.

truth = np.arange(10)
ten = images[7::500]  # one of each class, which has 500


def of_truth(x):
    return (judge.network(x) * mg.tensor(np.eye(10, dtype="float32"))).sum()


_, dL_dX = mg.study.image_gradient(of_truth, ten)
figure = plt.figure(figsize=(6.4, 1.5))
mg.study.gradient_picture(ten, {"dL/dX": dL_dX}, [f"a {k}" for k in truth], figure)

# %%
# Here and there a stroke can be made out that the digit has, or must not have. Most of it looks like noise, to us. It
# is no noise to the classifier.
#
# Following them
# --------------
# :func:`mg.study.fool` takes such steps and keeps every pixel within ``eps`` of where it was, and within [-1, 1].
# Follow the cross-entropy that the classifier was trained with, uphill. With ``eps=0.2``, a tenth of the way from
# black to white, in six steps:


def wrongness(truth):
    return lambda x: mg.ops.cross_entropy(judge.network(x), mg.tensor(truth))


fooled, path = mg.study.fool(wrongness(truth), ten, eps=0.2, steps=6)
seen = judge.probabilities(fooled).argmax(axis=1)
figure = plt.figure(figsize=(6.4, 1.5))
answers = [f"“{k}”" for k in seen]
mg.study.gradient_picture(fooled, {"change": fooled - ten}, answers, figure)
print("loss before and after each step:", *(f"{v:.3f}" for v in path))

# %%
# Is the classifier just bad with noise? Here is the share of 100 digits that it gets wrong, for changes of each size:
# along the gradient in one step, in six, and by coin tosses.

some, true = images[::50], labels[::50]
loss = wrongness(true)
wrong = lambda x: (judge.probabilities(x).argmax(axis=1) != true).mean()
coins = np.random.default_rng(0).choice(np.float32([-1, 1]), some.shape)
eps = [0.05, 0.1, 0.15, 0.2, 0.3]
curves = {
    "six steps": [wrong(mg.study.fool(loss, some, e, steps=6)[0]) for e in eps],
    "one step": [wrong(mg.study.fool(loss, some, e)[0]) for e in eps],
    "coin tosses": [wrong((some + np.float32(e) * coins).clip(-1, 1)) for e in eps],
}
# sphinx_gallery_start_ignore
fig, ax = plt.subplots(figsize=(6.4, 2.6))
for (name, shares), colour, mark in zip(
    curves.items(), ("#d55e00", "#e69f00", "#0072b2"), "os^", strict=True
):
    ax.plot(eps, shares, mark + "-", color=colour, label=name)
ax.set(
    xlabel="eps, the change of each pixel (black to white is 2)",
    ylabel="share fooled",
    ylim=(-0.03, 1.03),
)
ax.yaxis.set_major_formatter("{x:.0%}")
ax.legend()
# sphinx_gallery_end_ignore

# %%
# Why does so little suffice? The changes are small, but there are 784, and they all pull one way: a loss that is
# nearly linear rises by :math:`\epsilon \sum |\partial L / \partial X|`, while tosses cancel each other out.
#
# Out of nothing
# --------------
# The gradient can as well be told what to *see*. Start from an almost black image and lower the loss of a wish, one
# for each class. The classifier is satisfied, and there is no digit. It never had to know what a digit looks like,
# only how digits differ.

black = np.random.default_rng(0).uniform(-1, -0.9, (10, 1, 28, 28)).astype("float32")
wished, _ = mg.study.fool(lambda x: -wrongness(truth)(x), black, eps=0.4, steps=20)
sure = judge.probabilities(wished)[truth, truth]
# sphinx_gallery_start_ignore
fig, axes = plt.subplots(1, 10, figsize=(6.4, 1.0))
for ax, image, k, p in zip(axes, wished, truth, sure, strict=True):
    ax.imshow(image[0])
    ax.set(xticks=[], yticks=[], title=f"“{k}”", xlabel=f"{p:.1%}")
# sphinx_gallery_end_ignore

# %%
# The discriminator that learns back
# ----------------------------------
# So a network that stays as it is teaches nobody to draw. Take one that learns: a discriminator D, to tell digits
# from whatever has been fooling it. A round is five lessons for D and then five steps of the pixels along the
# gradient of D's logit. There is no generator; 64 images full of noise are all that is changed. Beside it, a D that
# learned in the first round only.

flat = images.reshape(len(images), -1)


def distance(x):
    """From each image to the nearest digit, root mean square a pixel; their mean."""
    x = x.reshape(len(x), -1)
    squares = (x**2).sum(axis=1)[:, None] + (flat**2).sum(axis=1) - 2 * x @ flat.T
    return np.sqrt(squares.min(axis=1).clip(0) / 784).mean()


def chase(rounds, learns):
    D, d_loss = models.mlp_discriminator(rng=0, width=16), losses.hinge_discriminator
    opt = mg.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))
    loader = mg.data.Loader(images, batch_size=64)
    x = np.random.default_rng(0).uniform(-1, 1, (64, 1, 28, 28)).astype("float32")
    for i in range(rounds):
        for _ in range(5 if learns(i) else 0):
            (real,) = loader.next()
            mg.gan.discriminator_step(D, opt, mg.tensor(real), mg.tensor(x), d_loss)
        x, logits = mg.study.fool(lambda x: D(x).mean(), x, eps=0.15, steps=5)
        yield x, logits


fixed = list(chase(100, learns=lambda i: i == 0))
learning = list(chase(100, learns=lambda i: True))

# sphinx_gallery_start_ignore
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.5))
rounds, now_and_then = np.arange(1, 16), [0, *range(4, 100, 5)]
for name, run, colour in (
    ("D stays", fixed, "#0072b2"),
    ("D learns", learning, "#d55e00"),
):
    zigzag = [v for _, logits in run[:15] for v in (logits[0], logits[-1])]
    left.plot(
        np.repeat(rounds, 2) + np.tile([-0.4, 0.4], 15),
        zigzag,
        color=colour,
        label=name,
    )
    right.plot(
        [i + 1 for i in now_and_then],
        [distance(run[i][0]) for i in now_and_then],
        color=colour,
        label=name,
    )
left.set(xlabel="round", ylabel="D's mean logit of the images", ylim=(-0.5, 1.5))
right.set(xlabel="round", ylabel="distance to the nearest digit", ylim=(0, None))
right.legend()
# sphinx_gallery_end_ignore

# %%
# While the images follow, D's logit of them rises, and it falls when D has learned, round after round. A D that stays
# is outrun at once: its curve leaves the picture, with images that are hardly nearer to a digit. These are ten of the
# 64:

shown = {"D stays: 100": fixed[99]}
shown |= {f"D learns: {r}": learning[r - 1] for r in (10, 30, 60, 100)}
# sphinx_gallery_start_ignore
fig, axes = plt.subplots(5, 10, figsize=(6.4, 3.5))
for row, (name, (x, _)) in zip(axes, shown.items(), strict=True):
    for ax, image in zip(row, x[:, 0], strict=False):
        ax.imshow(image, vmin=-1, vmax=1)
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
# sphinx_gallery_end_ignore

# %%
# What is missing for a GAN? Each of these images found its own way and took 500 steps, together with a D that grew up
# beside it; the next one would have to start again. So put a network in front of the pixels, and carry dL/dX on into
# its weights: ``fake = G(z)``, then ``fake.backward(dL_dX)``. What one image learns then serves all others, and a new
# image is one pass of G.
#
# Two questions
# -------------
# **The images followed D's logit. Would the non-saturating loss, or minimax, have taken them elsewhere?** Not by
# signs: each loss of a generator scales dL/dX of an image by one number, its derivative at the logit, and none of
# them changes its sign.

D = models.mlp_discriminator(rng=0, width=16)
x = learning[0][0][:8]
by_logit = np.sign(mg.study.image_gradient(lambda x: -D(x).mean(), x)[1])
for g_loss in (losses.non_saturating, losses.minimax):
    signs = np.sign(mg.study.image_gradient(lambda x, f=g_loss: f(5 * D(x)), x)[1])
    print(
        f"{g_loss.__name__}: {(signs == by_logit).mean():.2%} of the signs are the same"
    )

# %%
# **How far is a change of 0.2, measured in digits?** Not half the way to the nearest digit of another class. There is
# much room between digits, and the classifier was never told what lives there.

rms = lambda difference: (difference**2).mean(axis=-1) ** 0.5
apart = [rms(flat[labels != k] - x.ravel()).min() for k, x in enumerate(ten)]
change = rms((fooled - ten).reshape(10, -1))
print("changed by:                    ", *(f"{v:.2f}" for v in change))
print("nearest digit of another class:", *(f"{v:.2f}" for v in apart))
