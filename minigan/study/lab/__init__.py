"""The lab: a small GAN learns in front of your eyes, and every number of it can be looked at, in one HTML file."""

from __future__ import annotations

from pathlib import Path

__all__ = ["lab"]


def lab(
    data: str, out: str | Path = "lab.html", steps: int = 2000, seed: int = 0, *, fixed_generator: bool = False
) -> dict[str, float]:
    """Train a small GAN on points, and write what happened as a page that opens in any browser, without a network.

    The page shows, over training: real and generated points; what D says everywhere; what G makes of a lattice of latents,
    or of latents along a line; how the four generator losses would move the points, -dL_G/dx, with D as it is; and one
    adversarial step in slow motion, with its numbers. The same arguments give the same file, byte for byte.

    Args:
        data: ``ring``, ``grid`` or ``line``; of ``line`` the page shows the densities p of the data and q of the generator,
            and D beside the best one that there is, p / (p + q) (Goodfellow et al. 2014, proposition 1).
        out: the file to write; one that is there is replaced.
        steps: adversarial steps, at least 1.
        seed: of all that is drawn, at least 0.
        fixed_generator: only D learns, so that it comes near to the best one against the generator as it was first; of
            ``line``, to within 0.03 in 6,000 steps.

    Returns:
        Figures of the last frame by name. ``modes`` have a point nearby, ``near`` is the share of points near to one; of
        ``line`` ``from_half``, the mean ``|D - 1/2|`` where p is at least 1% of its maximum, and ``from_optimum``, the largest
        ``|D - p / (p + q)|`` where p + q is.

    Raises:
        RunError: data that there is not, no steps, a seed below 0; a file that cannot be written, said before training.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = mg.study.lab("ring", pathlib.Path(folder) / "lab.html", steps=1)
    >>> sorted(found)
    ['modes', 'near']
    """
    from minigan.gan import files
    from minigan.study.lab import page
    from minigan.study.lab.record import record

    path = page.writable(Path(out))
    recording = record(data, steps, seed, fixed_generator)
    files.write(path, page.page(recording))
    return recording.figures
