"""The pictures of a run, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any


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


def losses(metrics: Sequence[dict[str, float]]) -> bytes:
    """Both players' losses against the step, with D's loss where it cannot tell real from generated."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    steps = [m["step"] for m in metrics]
    axes.plot(steps, [m["loss_d"] for m in metrics], label="discriminator", color="#1f6f8b", linewidth=1.2)
    axes.plot(steps, [m["loss_g"] for m in metrics], label="generator", color="#d1495b", linewidth=1.2)
    axes.set(xlabel="adversarial step", ylabel="loss (mean over 10 steps)")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    file = BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return file.getvalue()
