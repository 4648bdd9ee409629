"""DCGANs: sizes and channels level by level, which layers have a bias, and what their weights are drawn from."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigan as mg
from minigan.gan import models

DCGANS = {
    "28": (models.dcgan28_generator, models.dcgan28_discriminator),
    "64": (models.dcgan64_generator, models.dcgan64_discriminator),
}
every_dcgan = pytest.mark.parametrize("name", DCGANS)


def levels(network, x):
    """The shapes (C, H, W) of one sample that the layers make, each once."""
    shapes = []
    for layer in network:
        x = layer(x)
        if x.ndim == 4 and x.shape[1:] not in shapes:
            shapes.append(x.shape[1:])
    return shapes


def latents(n):
    return mg.tensor(np.random.default_rng(0).normal(size=(n, 100)).astype("float32"))


@settings(max_examples=5)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(2, 3))
def test_dcgan64_doubles_its_sides_and_halves_its_channels(width, channels, n):
    g = models.dcgan64_generator(0, width=width, channels=channels)
    d = models.dcgan64_discriminator(0, width=width, channels=channels)
    inner = [(8 * width, 4, 4), (4 * width, 8, 8), (2 * width, 16, 16), (width, 32, 32)]
    assert levels(g, latents(n)) == [*inner, (channels, 64, 64)]
    images = g(latents(n))
    assert np.abs(images.numpy()).max() <= 1
    assert levels(d, images) == inner[::-1]
    assert d(images).shape == (n, 1)


def test_dcgan64_has_radfords_layers_unless_told_otherwise():
    """512-256-128-64-3 channels; batch norm stands in for a bias wherever it follows."""
    g, d = models.dcgan64_generator(0), models.dcgan64_discriminator(0)
    weights = lambda network: [p.shape for p in network.parameters() if p.ndim > 1]
    four = lambda *channels: [(a, b, 4, 4) for a, b in pairwise(channels)]
    assert weights(g) == [(4 * 4 * 512, 100), *four(512, 256, 128, 64, 3)]
    assert weights(d) == [*four(512, 256, 128, 64, 3)[::-1], (1, 4 * 4 * 512)]
    biases = lambda network: [layer.bias is not None for layer in network if hasattr(layer, "weight")]
    assert biases(g) == [False, True, False, True, False, True, False, True, True]
    assert biases(d) == [True, False, True, False, True, False, True, True]


@every_dcgan
def test_weights_are_drawn_from_a_narrow_normal_distribution(name):
    for make in DCGANS[name]:
        for layer in make(0, width=8):
            if isinstance(layer, mg.nn.BatchNorm):
                assert set(layer.weight.numpy()) == {1}
            elif hasattr(layer, "weight"):
                weight = layer.weight.numpy()
                # 5 standard errors of a mean and of a standard deviation over n draws
                assert abs(weight.mean()) < 5 * 0.02 / np.sqrt(weight.size)
                assert abs(weight.std() - 0.02) < 5 * 0.02 / np.sqrt(2 * weight.size)
            if getattr(layer, "bias", None) is not None:
                assert not layer.bias.numpy().any()


@every_dcgan
def test_a_seed_draws_the_same_weights_and_a_generator_draws_on(name):
    """Of a pair from one generator, the second starts where the first ended."""
    first, second = DCGANS[name]
    rng = np.random.default_rng(3)
    pair = first(rng, width=1).state_dict(), second(rng, width=1).state_dict()
    np.testing.assert_array_equal(pair[0]["0.weight"], first(3, width=1).state_dict()["0.weight"])
    assert (pair[1]["0.weight"] != second(3, width=1).state_dict()["0.weight"]).all()
