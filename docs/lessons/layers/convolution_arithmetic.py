r"""
Convolution and its transpose
=============================

**How large is the result of a convolution, and how does its gradient come back?** A window of :math:`k` pixels,
``dilation`` :math:`d` apart, moves in steps of the ``stride`` :math:`s` over a side of :math:`n` pixels with a
``padding`` of :math:`p` on each end. It fits

.. math::

   m = \left\lfloor \frac{n + 2p - d(k - 1) - 1}{s} \right\rfloor + 1

times. Backwards every output hands its gradient to the window that it was made from, and where windows overlap the
gradients add up. That way back is an operation of its own, the *transposed convolution*, which generators use to make
a small map large:

.. math::

   n = (m - 1) s - 2p + d(k - 1) + \text{output\_padding} + 1 .

It is the transpose in the word's plain sense. A convolution is a matrix, and this is the same matrix with rows and
columns exchanged: :math:`\partial L / \partial x = W^{\mathsf T} \, \partial L / \partial y`. It is not the inverse:
it brings back the shape, not the values.

More pictures of this arithmetic are in `Dumoulin and Visin (2016) <https://arxiv.org/abs/1603.07285>`_.
"""

import matplotlib.pyplot as plt
import numpy as np

import minigan as mg
from minigan.ops import conv2d, conv_transpose2d

rng = np.random.default_rng(0)

# %%
# Sizes
# -----
# Both formulas beside what minigan makes. The last column goes back with the transposed convolution of the same
# settings:


def small(n, k, s, p, d):
    return (n + 2 * p - d * (k - 1) - 1) // s + 1


def large(m, k, s, p, d, extra=0):
    return (m - 1) * s - 2 * p + d * (k - 1) + extra + 1


ones = lambda *shape: mg.tensor(np.ones(shape))
print(" n  kernel stride padding dilation  formula  conv2d  and back")
settings = "28 4 2 1 1", "7 3 1 1 1", "7 4 1 0 1", "9 3 1 0 2", "5 3 2 0 1", "6 3 2 0 1"
for n, k, s, p, d in (map(int, setting.split()) for setting in settings):
    how = {"stride": s, "padding": p, "dilation": d}
    y = conv2d(ones(1, 1, n, n), ones(1, 1, k, k), **how)
    m, back = y.shape[2], conv_transpose2d(y, ones(1, 1, k, k), **how).shape[2]
    assert large(m, k, s, p, d) == back
    formula = small(n, k, s, p, d)
    print(f"{n:2} {k:7} {s:6} {p:7} {d:8} {formula:8} {m:7} {back:9}")

# %%
# The last two rows meet: a side of 5 and one of 6 both give 2, since the window with stride 2 never sees the sixth
# pixel. On the way back 2 could become either, and ``output_padding=1`` asks for the larger. It adds no numbers, only
# room:

for extra in (0, 1):
    y = conv_transpose2d(
        ones(1, 1, 2, 2), ones(1, 1, 3, 3), stride=2, output_padding=extra
    )
    side, last = large(2, 3, 2, 0, 1, extra), y.numpy()[0, 0, -1]
    print(f"output_padding={extra}: {side} by the formula, last row {last}")

# %%
# Why 4x4, kernel 4 and stride 1 give 7x7
# ---------------------------------------
# Read the transposed convolution as stamping: each of the 4 pixels of a side presses the whole kernel, 4 wide, into
# the result, and each starts ``stride`` = 1 further on. The last one starts at 3 and ends at 6, so there are 7
# places.

m, k, s = 4, 4, 1
stamps = np.zeros((m, large(m, k, s, 0, 1)))
for i in range(m):
    stamps[i, i * s : i * s + k] = 1

# sphinx_gallery_start_ignore
fig, (top, bottom) = plt.subplots(
    2, 1, figsize=(6.4, 2.9), height_ratios=[m, 1.2], sharex=True
)
top.imshow(stamps, cmap="Blues", vmin=0, vmax=1.6, aspect="auto")
top.set(
    yticks=range(m),
    ylabel="input pixel",
    title="where each of 4 pixels presses its kernel of 4",
)
bottom.imshow(stamps.sum(axis=0)[None], cmap="Blues", vmin=0, vmax=6, aspect="auto")
bottom.set(
    yticks=[], xticks=range(stamps.shape[1]), xlabel="output pixel", ylabel="sum"
)
for i, count in enumerate(stamps.sum(axis=0)):
    bottom.text(i, 0, f"{count:.0f}", ha="center", va="center")
for i, j in zip(*np.nonzero(stamps), strict=True):
    top.text(j, i, f"w{j - i * s}", ha="center", va="center", fontsize=8)
# sphinx_gallery_end_ignore

x, w = rng.normal(size=(1, 1, 4, 4)), rng.normal(size=(1, 1, 4, 4))
y = conv_transpose2d(mg.tensor(x), mg.tensor(w))
turned = w[:, :, ::-1, ::-1].copy()
by_padding = conv2d(mg.tensor(x), mg.tensor(turned), padding=k - 1)
apart = abs(y.numpy() - by_padding.numpy()).max()
print("4x4 becomes", "x".join(map(str, y.shape[2:])))
print(f"as a convolution of the turned kernel with padding 3: off by {apart:.0e}")

# %%
# A convolution as a matrix
# -------------------------
# Each output is a weighted sum of pixels, so with the image written as one long vector a convolution is a matrix.
# Feed it images with a single pixel of 1 and its columns come out. Most entries are 0, and the few weights repeat
# along diagonals. That is all that tells a convolution from a dense layer.


def as_matrix(w, side, **settings):
    pixels = np.eye(side * side).reshape(-1, 1, side, side)
    columns = conv2d(mg.tensor(pixels), mg.tensor(w), **settings).numpy()
    return columns.reshape(len(pixels), -1).T


# the kernel's entries are told apart by their number
numbered = np.arange(1.0, 10).reshape(1, 1, 3, 3)
matrix = as_matrix(numbered, side=5)

# sphinx_gallery_start_ignore
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.9), width_ratios=[25, 9])
for ax, table in zip(axes, (matrix, matrix.T), strict=True):
    shown = ax.imshow(
        np.ma.masked_equal(table, 0),
        cmap=plt.get_cmap("viridis", 9),
        vmin=0.5,
        vmax=9.5,
    )
    ax.set(xticks=range(0, table.shape[1], 4), yticks=range(0, table.shape[0], 4))
    ax.spines[:].set(visible=True, color="0.7")
axes[0].set(title="W: a 5x5 image to 3x3, kernel 3", xlabel="pixel", ylabel="output")
axes[1].set(title="its transpose", xlabel="dL/d output", ylabel="dL/d pixel")
fig.colorbar(
    shown,
    ax=axes[0],
    ticks=range(1, 10),
    label="entry of the kernel",
    location="bottom",
    shrink=0.8,
)
# sphinx_gallery_end_ignore

x = rng.normal(size=(1, 1, 5, 5))
y = conv2d(mg.tensor(x), mg.tensor(numbered)).numpy()
print(f"W x against conv2d: off by {abs(matrix @ x.ravel() - y.ravel()).max():.0e}")
used = np.count_nonzero(matrix)
print(f"{matrix.size} entries, {used} that are not 0, {numbered.size} to be learned")

# %%
# Three views of dL/dX
# --------------------
# As the matrix's transpose, as a transposed convolution, and as what minigan's rule sends back. The rule of
# ``conv2d`` *is* a call of ``conv_transpose2d``, and that of ``conv_transpose2d`` a call of ``conv2d``, so that
# gradients of any order stay in the family.

x, w = rng.normal(size=(1, 1, 6, 6)), rng.normal(size=(1, 1, 3, 3))
settings = {"stride": 2, "padding": 1}
X = mg.tensor(x, requires_grad=True)
y = conv2d(X, mg.tensor(w), **settings)
dy = rng.normal(size=y.shape)

matrix = as_matrix(w, 6, **settings)
there = conv_transpose2d(mg.tensor(dy), mg.tensor(w), output_padding=1, **settings)
views = {
    "the matrix's transpose": (matrix.T @ dy.ravel()).reshape(x.shape),
    "conv_transpose2d": there.numpy(),
    "mg.grad": mg.grad(y, X, mg.tensor(dy)).numpy(),
}
# sphinx_gallery_start_ignore
reach = max(abs(view).max() for view in views.values())
fig, axes = plt.subplots(1, 4, figsize=(6.4, 2.1), width_ratios=[3, 6, 6, 6])
axes[0].imshow(dy[0, 0], cmap="RdBu_r", vmin=-reach, vmax=reach)
axes[0].set_title("dL/dy")
for ax, (name, view) in zip(axes[1:], views.items(), strict=True):
    shown = ax.imshow(view[0, 0], cmap="RdBu_r", vmin=-reach, vmax=reach)
    ax.set_title(name)
for ax in axes:
    ax.set(xticks=[], yticks=[])
fig.colorbar(shown, ax=axes, shrink=0.7)
# sphinx_gallery_end_ignore

first, *others = views.values()
apart = max(abs(first - other).max() for other in others)
print(f"largest difference between the views: {apart:.0e}")

# %%
# The transpose is not the inverse: back again after ``conv2d`` the shape is right and the numbers are others.

again = matrix.T @ matrix @ x.ravel()
print(f"Wᵀ W x against x: correlation {np.corrcoef(again, x.ravel())[0, 1]:.2f}")

# %%
# Checkerboards
# -------------
# Count how many stamps fall on each pixel. Where the kernel is no multiple of the stride the counts differ from pixel
# to pixel, and a generator starts out by painting a checkerboard (`Odena et al. 2016
# <https://distill.pub/2016/deconv-checkerboard>`_). With kernel 4 and stride 2 they are even but for the rim. It
# happens to dL/dX as well: a discriminator of stride 2 and kernel 3 looks at one pixel in four only once and at one
# in four four times, and its gradient is patterned accordingly.


def overlaps(k, s, p, side=7):
    stamp = ones(1, 1, k, k)
    stamped = conv_transpose2d(ones(1, 1, side, side), stamp, stride=s, padding=p)
    return stamped.numpy()[0, 0]


# sphinx_gallery_start_ignore
fig, axes = plt.subplots(1, 2, figsize=(6.4, 3.0))
for ax, k in zip(axes, (3, 4), strict=True):
    counts = overlaps(k, 2, 1)
    shown = ax.imshow(counts, cmap=plt.get_cmap("cividis", 4), vmin=0.5, vmax=4.5)
    ax.set(
        title=f"kernel {k}, stride 2: {counts.shape[0]}x{counts.shape[1]}",
        xticks=[],
        yticks=[],
    )
fig.colorbar(shown, ax=axes, ticks=[1, 2, 3, 4], label="stamps on a pixel", shrink=0.85)
# sphinx_gallery_end_ignore

# %%
# Two questions
# -------------
# **Which padding keeps the size, for kernel 5 and dilation 2?** With stride 1, :math:`n + 2p - d(k - 1) = n`, so
# :math:`p = d(k - 1)/2`: half of what the window spans beyond one pixel.

k, d = 5, 2
p = d * (k - 1) // 2
y = conv2d(ones(1, 1, 28, 28), ones(1, 1, k, k), padding=p, dilation=d)
print(f"padding {p}: 28x28 becomes", "x".join(map(str, y.shape[2:])))

# %%
# **Which kernels leave no checkerboard?** Those that the stride divides. Here is how far the counts in the middle of
# a map differ:

print("kernel  stride 1  stride 2  stride 3")
for k in range(2, 7):
    print(f"{k:6}", end="")
    for s in (1, 2, 3):
        middle = overlaps(k, s, 0, side=12)[k:-k, k:-k]
        print(f"{np.ptp(middle):10.0f}" if k >= s else f"{'gaps':>10}", end="")
    print()
