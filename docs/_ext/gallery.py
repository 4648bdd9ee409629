"""How the lessons become pages: one look for every picture, one seed for every script, and no download buttons."""

import re
from typing import Any

from sphinx.application import Sphinx

import minigan as mg

STYLE = {
    "figure.dpi": 110,
    "figure.figsize": (6.4, 3.2),
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "image.cmap": "gray",
    "legend.frameon": False,
}
NOTE = re.compile(
    r"\.\. only:: html\n\n    \.\. note::\n        :class: sphx-glr-download.*?(?=\n\.\. rst-class)", re.DOTALL
)
SOURCE = re.compile(r'\.\. "learn[/\\](.*?)"')


def reset(gallery_conf: dict[str, Any], script: str) -> None:
    """What every lesson starts from."""
    import matplotlib.pyplot as plt

    plt.close("all")
    plt.rcdefaults()
    plt.rcParams.update(STYLE)
    mg.set_backend("numpy")
    mg.seed(0)


def tidy(app: Sphinx, page: str, source: list[str]) -> None:
    """Say which script a page is, in place of its downloads, and nothing of where it was run."""
    text, downloads, _ = source[0].replace(f"{app.srcdir}/", "docs/").partition(".. _sphx_glr_download_")
    if downloads:
        script = SOURCE.search(text)
        assert script is not None
        source[0] = NOTE.sub("", text) + f"\nThis page is ``docs/lessons/{script[1]}``, run when the page was made.\n"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", tidy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
