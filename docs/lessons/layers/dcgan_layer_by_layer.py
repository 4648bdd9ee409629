r"""
DCGAN, layer by layer
=====================

**How do 100 random numbers become an image?** In a deep convolutional GAN (`Radford et al. 2016
<https://arxiv.org/abs/1511.06434>`_) by getting larger and thinner. A dense layer makes many tiny maps, and every
transposed convolution after it makes fewer, larger ones:

.. math::

   100 \to 4 \times 4 \times 512 \to 7 \times 7 \times 256 \to 14 \times 14 \times 128 \to 28 \times 28 \times 1

Deep inside, a number stands for something about the whole image, at the end for the ink of one pixel. The
discriminator is the same road backwards. Between the layers stand batch norm and ReLU, and the image leaves through
tanh. What each of these is for is below, measured on a generator built here; why a kernel of 4 makes 7 of 4 is in
:doc:`/learn/layers/convolution_arithmetic`.
"""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np

import minigan as mg
from minigan import nn
from minigan.gan import losses, models
from minigan.gan.planner import plan


def generator(width, norm=True, rng=0):
    larger = partial(nn.ConvTranspose2d, kernel_size=4, bias=not norm)
    twice = partial(larger, stride=2, padding=1)
    after = lambda channels: [nn.BatchNorm(channels)] * norm + [nn.ReLU()]
    net = nn.Sequential(
        nn.Dense(100, 4 * 4 * 8 * width, bias=not norm),
        nn.Reshape(8 * width, 4, 4),
        *after(8 * width),
        larger(8 * width, 4 * width),  # (4 - 1)*1 - 2*0 + (4 - 1) + 1 = 7
        *after(4 * width),
        twice(4 * width, 2 * width),  # (7 - 1)*2 - 2*1 + (4 - 1) + 1 = 14
        *after(2 * width),
        twice(2 * width, 1, bias=True),  # (14 - 1)*2 - 2*1 + (4 - 1) + 1 = 28
        nn.Tanh(),
    )
    nn.init.dcgan(net, rng=rng)
    return net


def show(summary):
    for row in summary.rows:
        layer = row.layer.partition("(")[0]
        print(f"{layer:16} {row.output:18} {row.parameters:10,} parameters")
    print(summary.total)


G = generator(width=64)
show(nn.summary(G, (64, 100)))

# %%
# Where the weights are, and where the work
# -----------------------------------------
# A transposed convolution has ``in * out * 4 * 4`` weights and uses each once for every pixel that it reads. So the
# weights sit where the channels are many, and the numbers that a step must keep sit where the maps are large.

names = ["dense", "4 to 7", "7 to 14", "14 to 28"]
weights = [p.size for p in G.parameters() if p.ndim > 1]
read = [1, 4 * 4, 7 * 7, 14 * 14]
work = [w * pixels for w, pixels in zip(weights, read, strict=True)]
made = [512 * 4 * 4, 256 * 7 * 7, 128 * 14 * 14, 28 * 28]

# sphinx_gallery_start_ignore
fig, axes = plt.subplots(1, 3, figsize=(6.4, 2.0), sharey=True)
for ax, values, title in zip(
    axes,
    (weights, work, made),
    ("weights", "multiplications", "numbers made"),
    strict=True,
):
    bars = ax.barh(names, values, color="#0072b2")
    ax.bar_label(bars, [f"{v:,.0f}" for v in values], fontsize=7, padding=2)
    ax.set(title=title, xticks=[], xlim=(0, 1.6 * max(values)))
axes[0].invert_yaxis()
# sphinx_gallery_end_ignore

# %%
# Other sizes
# -----------
# minigan's own ``dcgan`` model starts from a side of at most 7 and only doubles. The planner walks through the sizes
# of any such pair without making a weight. Radford's 64x64 generator:

show(plan("dcgan", size=64, channels=3).generator)

# %%
# Looking inside
# --------------
# A narrow copy is trained for a moment on real digits, so that there is something to see. Then one latent, layer by
# layer: eight of the maps after each ReLU, and, last, eight images.

rng = np.random.default_rng(0)
latents = lambda n: mg.tensor(rng.standard_normal((n, 100), dtype="float32"))
G, D = generator(width=8), models.dcgan28_discriminator(rng=1, width=16)
opt_g, opt_d = (
    mg.optim.Adam(net.parameters(), lr=2e-3, betas=(0.0, 0.999)) for net in (G, D)
)
loader = mg.data.Loader(mg.data.digits()[0], batch_size=32)
d_loss, g_loss = losses.discriminator, losses.non_saturating
for _ in range(250):
    (real,), z = loader.next(), latents(32)
    mg.gan.adversarial_step(G, D, opt_g, opt_d, mg.tensor(real), z, d_loss, g_loss)

with mg.no_grad():
    maps, x = [], latents(8)
    for _, layer in G.children():
        x = layer(x)
        if isinstance(layer, (nn.ReLU, nn.Tanh)):
            maps.append(x.numpy())

# sphinx_gallery_start_ignore
fig, axes = plt.subplots(4, 8, figsize=(6.4, 3.6))
for row, images in zip(axes, maps, strict=True):
    images = images[0, :8] if images.shape[1] > 1 else images[:, 0]
    for ax, image in zip(row, images, strict=True):
        ax.imshow(image, vmin=min(0, image.min()))
        ax.set(xticks=[], yticks=[])
    size = "x".join(map(str, image.shape))
    row[0].set_ylabel(size, rotation=0, ha="right", va="center")
# sphinx_gallery_end_ignore

# %%
# How the gradient comes back
# ---------------------------
# :func:`mg.study.record` writes down what arrives at every op on the way from the loss through D, over the image,
# into G. Here is its norm at the output of each layer, with batch norm and without, both with Radford's starting
# weights, N(0, 0.02).


def arriving(G, D):
    """The norm of what arrives at each layer's output, from the loss backwards."""
    loss = losses.non_saturating(D(G(latents(32))))
    found = {}
    for row in mg.study.record(loss, names={"G": G, "D": D}).rows:
        if row.module and row.arrives.get("y"):
            found.setdefault(row.module, row.arrives["y"].norm)
    return found


pairs = {
    "batch norm": (generator(width=8), models.dcgan28_discriminator(rng=1, width=16)),
    "without": (generator(width=8, norm=False), models.dcgan28_critic(rng=1, width=16)),
}
left = {name: arriving(G, D) for name, (G, D) in pairs.items()}
# sphinx_gallery_start_ignore
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.4), sharey=True)
for ax, (name, found) in zip(axes, left.items(), strict=True):
    players = dict(zip("GD", pairs[name], strict=True))
    layers = [dict(players[p[0]].children())[p[2:]] for p in found]
    names = [type(layer).__name__ for layer in layers]
    ax.semilogy(range(len(found)), found.values(), "-", color="0.8")
    for who, colour in (("D", "#d55e00"), ("G", "#0072b2")):
        at = [i for i, path in enumerate(found) if path[0] == who]
        dots = [list(found.values())[i] for i in at]
        ax.semilogy(at, dots, "o", color=colour, label=f"in {who}")
    ax.set_xticks(range(len(found)), names, rotation=90, fontsize=7)
    ax.set_title(name)
    ax.grid(axis="y", alpha=0.25)
axes[0].set_ylabel("norm of the gradient that arrives")
axes[0].legend()
# sphinx_gallery_end_ignore
for name, found in left.items():
    print(f"{name}: {list(found.values())[-1]:.1e} is left at G's first layer")

# %%
# The guidelines, and what each is for
# ------------------------------------
# Radford, Metz and Chintala found these by trying:
#
# .. list-table::
#    :header-rows: 1
#    :widths: 45 55
#
#    * - Guideline
#      - What for
#    * - Strided convolutions in place of pooling
#      - Each player learns its own way to change the size, and all of a map hears the gradient.
#    * - Batch norm, but neither at G's output nor at D's input
#      - Small starting weights do not shrink signal and gradient; the image keeps its own mean and contrast.
#    * - No dense hidden layers
#      - A dense layer between two maps has very many weights, and forgets what is beside what.
#    * - ReLU in G, tanh at its end
#      - Images are bounded, like the data, which is scaled to [-1, 1].
#    * - LeakyReLU(0.2) in D
#      - The message to G gets through where a ReLU would be silent.
#    * - N(0, 0.02) to start with; Adam at 0.0002 with a first beta of 0.5
#      - With more momentum the two players swing around each other.
#
# Two of them decide how much of D's first layer hears the loss, which is all that G can learn from. Count it:

image = mg.tensor(mg.data.digits()[0][:1])
pooling = [nn.Conv2d(1, 16, 3, padding=1, rng=0), nn.MaxPool2d(2), nn.LeakyReLU(0.2)]
striding = [nn.Conv2d(1, 16, 4, stride=2, padding=1, rng=0)]
for name, (first, *rest) in {
    "stride 2, LeakyReLU": [*striding, nn.LeakyReLU(0.2)],
    "stride 2, ReLU": [*striding, nn.ReLU()],
    "maximum of 2x2, LeakyReLU": pooling,
}.items():
    hidden = first(image)
    logit = nn.Sequential(*rest, nn.Flatten(), nn.Dense(16 * 14 * 14, 1, rng=1))(hidden)
    heard = mg.grad(losses.non_saturating(logit), hidden).numpy() != 0
    print(f"{name:26} {heard.mean():4.0%} of the first layer's outputs hear something")

# %%
# Two questions
# -------------
# **How many weights would a dense layer need from 4x4x512 to 7x7x256, in place of the transposed convolution?**

dense, conv = 4 * 4 * 512 * 7 * 7 * 256, 512 * 256 * 4 * 4
print(f"{dense:,} against {conv:,}: {dense / conv:.0f} times as many")

# %%
# **What takes the memory of a step, the weights or what the layers give?** It depends on the batch. The planner tells
# for the model ``dcgan`` at 28x28, where Adam keeps two more numbers for each weight and the gradient is a fourth:

for batch_size in (1, 64, 512):
    outputs, weights = (size / 1e6 for size in plan("dcgan").memory(batch_size))
    print(
        f"batch {batch_size:3}: {outputs:5.1f} MB of outputs, {weights:.1f} of weights"
    )
