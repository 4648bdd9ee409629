"""The pictures of a run, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

TRUE, FAKE = "#1f6f8b", "#d1495b"


def grid(images: Any, columns: int = 8, scale: int = 2, labels: Any = None) -> bytes:
    """Images (n, 1, H, W) or (n, 3, H, W) in [-1, 1] side by side, row by row, with what is left of a row in black.

    Args:
        images: a host array.
        columns: images a row.
        scale: picture pixels a side for each image pixel.
        labels: integers (n,) in order; each class begins a row.
    """
    from matplotlib.image import imsave

    n, channels, h, w = images.shape
    places, place = [], 0
    for i in range(n):
        if labels is not None and i and labels[i] != labels[i - 1]:
            place = -(-place // columns) * columns
        places.append(place)
        place += 1
    rows = -(-place // columns)
    canvas = (images[:1].repeat(rows * columns, axis=0) * 0) - 1
    canvas[places] = images
    sheet = (
        canvas.reshape(rows, columns, channels, h, w).transpose(0, 3, 1, 4, 2).reshape(rows * h, columns * w, channels)
    )
    file = BytesIO()
    sheet = sheet.repeat(scale, axis=0).repeat(scale, axis=1)
    sheet = sheet[:, :, 0] if channels == 1 else (sheet + 1).clip(0, 2) / 2
    imsave(file, sheet, format="png", cmap="gray", vmin=-1, vmax=1, metadata={"Software": "minigan"})
    return file.getvalue()


def points(samples: Any, data: str) -> bytes:
    """Points (n, 2) over 2,500 true ones, or of points (n, 1) the histogram beside that of true ones.

    Args:
        samples: a host array.
        data: ``ring``, ``grid`` or ``line``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    scatter(axes, samples, data)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, markerscale=2)
    return png(figure, dpi=144)


def scatter(axes: Any, samples: Any, data: str, size: float = 1.5) -> None:
    """What `points` shows, on Matplotlib's axes; `size` in points of print."""
    from minigan.data.sources import TOYS

    true = TOYS[data](2500, rng=0)
    middle, reach = true.mean(axis=0), 1.25 * abs(true - true.mean(axis=0)).max()
    if samples.shape[1] == 1:
        bins = [middle[0] + reach * (i / 40 - 1) for i in range(81)]
        axes.hist(true[:, 0], bins, density=True, color=TRUE, alpha=0.5, label="data")
        axes.hist(
            samples[:, 0].clip(bins[0], bins[-1]), bins, density=True, histtype="step", color=FAKE, label="generated"
        )
        axes.set(ylabel="density")
    else:
        axes.plot(*true.T, ".", markersize=3 * size, color=TRUE, alpha=0.5, label="data")
        axes.plot(*samples.T, ".", markersize=size, color=FAKE, label="generated")
        axes.set(aspect="equal", ylim=(middle[1] - reach, middle[1] + reach))
    axes.set_xlim(middle[0] - reach, middle[0] + reach)


def samples(made: Any, labels: Any, data: str) -> bytes:
    """What a generator made: a grid of images, with a row for each class if there are labels, or points beside true ones."""
    return points(made, data) if made.ndim == 2 else grid(made, labels=labels)


def losses(metrics: Sequence[dict[str, float]]) -> bytes:
    """Both players' losses against the step, with D's loss where it cannot tell real from generated."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    steps = [m["step"] for m in metrics]
    axes.plot(steps, [m["loss_d"] for m in metrics], label="discriminator", color=TRUE, linewidth=1.2)
    axes.plot(steps, [m["loss_g"] for m in metrics], label="generator", color=FAKE, linewidth=1.2)
    axes.set(xlabel="adversarial step", ylabel="loss (mean over 10 steps)")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return png(figure, dpi=120)


def png(figure: Any, dpi: int) -> bytes:
    """A figure of Matplotlib's as the bytes of a file."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=dpi, metadata={"Software": "minigan"})
    return file.getvalue()
