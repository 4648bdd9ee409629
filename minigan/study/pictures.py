"""What a network says of images, pixel by pixel: dL/dX as numbers, as a picture, and as a way to fool the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from minigan.autodiff import Tensor, grad, no_grad

Loss = Callable[[Tensor], Tensor]


def image_gradient(loss: Loss, images: Any) -> tuple[float, np.ndarray]:
    """A loss at images, and dL/dX: how it changes with each of their pixels. Of the weights nothing is computed.

    Args:
        loss: of a Tensor of images, a scalar, such as ``lambda x: mg.gan.losses.non_saturating(D(x))``.
        images: a host array of floats (n, 1, H, W) or (n, 3, H, W).

    Returns:
        L, and dL/dX, a host array of the shape and dtype of `images`.

    Raises:
        ValueError: `images` is no such array, or has no image.
        MissingGradient: the loss does not depend on the images; the message says why.
        ShapeError: the loss is not a scalar.

    >>> loss, dL_dX = mg.study.image_gradient(lambda x: (x * x).sum(), np.full((1, 1, 2, 2), 0.5))
    >>> loss, dL_dX.ravel().tolist()
    (1.0, [1.0, 1.0, 1.0, 1.0])
    """
    x = Tensor(_images(images), requires_grad=True, name="images")
    value = loss(x)
    dL_dX = grad(value, x)
    return float(value.item()), dL_dX.numpy()


def fool(
    loss: Loss, images: Any, eps: float, steps: int = 1, rate: float | None = None
) -> tuple[np.ndarray, list[float]]:
    """Change nothing but the pixels so that the loss rises, each of them by at most `eps`.

    Every step moves all pixels by `rate` along the sign of dL/dX, and brings back those that have left
    [x - eps, x + eps] or [-1, 1]. One step is the fast gradient sign method (Goodfellow et al. 2015), several are its
    iterated form (Kurakin et al. 2017). To have a loss fall, give its negative.

    Args:
        loss: of a Tensor of images, a scalar, such as ``lambda x: mg.ops.cross_entropy(network(x), labels)``.
        images: a host array of floats (n, 1, H, W) or (n, 3, H, W), in [-1, 1].
        eps: the largest change of a pixel; 2 is the whole way from black to white.
        steps: how many.
        rate: a step's length for each pixel; ``eps / steps`` without it.

    Returns:
        The changed images, of the shape and dtype of `images`, and the loss before the first step and after each.

    Raises:
        ValueError: `images` is no such array, leaves [-1, 1] or has no image; `eps`, `steps` or `rate` out of range.
            Errors of `image_gradient` besides.

    >>> images, _ = mg.data.digits()
    >>> judge = mg.metrics.judge()
    >>> fooled, losses = mg.study.fool(lambda x: mg.ops.cross_entropy(judge.network(x), [0]), images[:1], eps=0.5)
    >>> float(abs(fooled - images[:1]).max()), losses[1] > losses[0]
    (0.5, True)
    """
    images = _images(images)
    if not abs(images).max() <= 1:
        raise ValueError(f"images must lie in [-1, 1], got values from {images.min()} to {images.max()}")
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be an integer of at least 1, got {steps!r}")
    rate = eps / steps if rate is None else rate
    for name, value in (("eps", eps), ("rate", rate)):
        if not 0 <= value < np.inf:
            raise ValueError(f"{name} must be a finite number of at least 0, got {value!r}")
    low, high = np.maximum(images - eps, -1), np.minimum(images + eps, 1)
    losses = []
    for _ in range(steps):
        before, dL_dX = image_gradient(loss, images)
        losses.append(before)
        images = np.clip(images + rate * np.sign(dL_dX), low, high)
    with no_grad():
        return images, [*losses, float(loss(Tensor(images)).item())]


def gradient_picture(images: Any, gradients: Mapping[str, Any], titles: Sequence[str] = (), figure: Any = None) -> Any:
    """Images side by side, and below each its gradients: red where more ink raises the loss, blue where it lowers it.

    Every row of gradients has a scale of its own, symmetric about 0. Those of the three colours are added up.

    Args:
        images: a host array of floats (n, 1, H, W) or (n, 3, H, W) in [-1, 1].
        gradients: rows of arrays of the shape of `images`, under the names that they are to be shown by, such as
            ``{"step 10": dL_dX}``.
        titles: one above each image.
        figure: of Matplotlib's, to draw in; a new one without it.

    Returns:
        The figure; its ``savefig`` writes it to a file.

    Raises:
        ValueError: `images` is no such array or has no image; no gradients, or some that are of another shape or not
            finite; titles that are not one for each image.

    >>> images = mg.data.digits()[0][:3]
    >>> _, dL_dX = mg.study.image_gradient(lambda x: (x * x).mean(), images)
    >>> figure = mg.study.gradient_picture(images, {"dL/dX": dL_dX}, titles=["a", "b", "c"])
    >>> len(figure.axes)  # three images, three gradients, one colour bar
    7
    """
    from matplotlib.figure import Figure

    images = _images(images)
    n, rows = len(images), 1 + len(gradients)
    if not gradients:
        raise ValueError("gradient_picture() shows gradients by name, such as {'dL/dX': dL_dX}, and got none")
    for name, gradient in gradients.items():
        if np.shape(gradient) != images.shape:
            raise ValueError(
                f"the gradients {name!r} must be of the images' shape {images.shape}, got {np.shape(gradient)}"
            )
        if not np.isfinite(gradient).all():
            raise ValueError(f"the gradients {name!r} have numbers that are not finite, and no colours")
    if titles and len(titles) != n:
        raise ValueError(f"titles must be one for each of {n} images, got {len(titles)}")

    if figure is None:
        figure = Figure(figsize=(0.65 * n + 1.2, 0.75 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, n, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(True)
        axis.spines[:].set(color="0.7", linewidth=0.5)
    for axis, image, title in zip(axes[0], images, titles or [""] * n, strict=True):
        axis.imshow(_shown(image), cmap="gray", vmin=-1, vmax=1)
        axis.set_title(title)
    for row, (name, gradient) in zip(axes[1:], gradients.items(), strict=True):
        signed = np.asarray(gradient).sum(axis=1)
        reach = float(abs(signed).max()) or 1.0
        drawn = [axis.imshow(g, cmap="RdBu_r", vmin=-reach, vmax=reach) for axis, g in zip(row, signed, strict=True)]
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
        bar = figure.colorbar(drawn[0], ax=list(row), ticks=[-reach, 0, reach], fraction=0.05, aspect=8)
        bar.ax.set_yticklabels([f"−{reach:.2g}", "0", f"{reach:.2g}"])
        bar.outline.set_visible(False)
    return figure


def _images(images: Any) -> np.ndarray:
    """The host array, if it is one of images."""
    if not (
        isinstance(images, np.ndarray) and images.dtype.kind == "f" and images.ndim == 4 and images.shape[1] in (1, 3)
    ):
        facts = f" {images.shape} of {images.dtype}" if hasattr(images, "dtype") else ""
        raise ValueError(
            f"images must be a NumPy array of floats (n, 1, H, W) or (n, 3, H, W), got {type(images).__name__}{facts}"
        )
    if images.size == 0:
        raise ValueError(f"there is no image in an array of shape {images.shape}; give at least one")
    return images


def _shown(image: np.ndarray) -> np.ndarray:
    """An image (C, H, W) in [-1, 1] as Matplotlib takes it."""
    return image[0] if len(image) == 1 else (image.transpose(1, 2, 0).clip(-1, 1) + 1) / 2
