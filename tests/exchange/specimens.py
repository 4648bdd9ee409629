"""The modules whose values by PyTorch are frozen, and an input for each."""

import numpy as np

import minigan as mg


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Values in [-2, 2) that are the same with every version of NumPy, whose old generator never changes."""
    return np.asarray(np.random.RandomState(seed).uniform(-2, 2, shape))


models = mg.gan.models

SPECIMENS = {
    "Dense": (lambda: mg.nn.Dense(5, 4), noise((3, 5))),
    "Conv2d": (
        lambda: mg.nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
        noise((2, 4, 7, 6)),
    ),
    "ConvTranspose2d": (
        lambda: mg.nn.ConvTranspose2d(
            4, 6, (3, 2), stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2, dilation=(1, 2)
        ),
        noise((2, 4, 3, 4)),
    ),
    "BatchNorm": (lambda: mg.nn.BatchNorm(3, eps=1e-3, momentum=0.3), noise((4, 3, 2, 5))),
    "LayerNorm": (lambda: mg.nn.LayerNorm((3, 2), eps=1e-3), noise((2, 4, 3, 2))),
    "Embedding": (lambda: mg.nn.Embedding(5, 3), np.array([[4, 0, 1], [1, 3, 4]])),
    "dcgan28_generator": (lambda: models.dcgan28_generator(width=2), noise((2, 100))),
    "dcgan28_discriminator": (lambda: models.dcgan28_discriminator(width=2), noise((2, 1, 28, 28))),
    "dcgan64_generator": (lambda: models.dcgan64_generator(width=2), noise((2, 100))),
    "dcgan64_discriminator": (lambda: models.dcgan64_discriminator(width=2), noise((2, 3, 64, 64))),
}
"""By name: how to make the module, and what it is given."""
