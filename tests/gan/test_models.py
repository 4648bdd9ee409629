"""DCGANs: sizes and channels level by level, which layers have a bias, and what their weights are drawn from; `build`."""

import re
from hashlib import sha256
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigan as mg
from minigan.errors import RunError, ShapeError
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


def decomposable(size):
    """Whether a side is an integer of at most 7, doubled at least once, and no more often than that needs."""
    return any(size == base << n for n in range(1, 10) for base in range(4 if n > 1 else 1, 8))


sizes = st.integers(1, 48).filter(decomposable)


@settings(max_examples=10)
@given(sizes, st.integers(1, 3), st.integers(1, 3), st.integers(1, 5))
def test_any_dcgan_doubles_its_sides_and_halves_its_channels(size, channels, width, latent):
    g = models.dcgan_generator(size, channels, width, 0, latent)
    d, critic = (make(size, channels, width, 0) for make in (models.dcgan_discriminator, models.dcgan_critic))
    z = mg.tensor(np.random.default_rng(0).normal(size=(2, latent)).astype("float32"))
    *inner, last = levels(g, z)
    assert last == (channels, size, size)
    assert inner[-1] == (width, size // 2, size // 2)
    assert all(larger == (c // 2, 2 * h, 2 * w) for (c, h, w), larger in pairwise(inner))
    assert inner[0][1] <= 7 < 2 * inner[0][1] or len(inner) == 1
    images = g(z)
    for player in (d, critic):
        assert levels(player, images) == inner[::-1]
        assert player(images).shape == (2, 1)
    norms = lambda network: sum(isinstance(layer, mg.nn.BatchNorm) for layer in network)
    assert (norms(g), norms(d), norms(critic)) == (len(inner), len(inner) - 1, 0)
    assert all(layer.bias is not None for layer in critic if hasattr(layer, "weight"))


@given(st.integers(1, 1100))
def test_every_other_size_is_refused_with_the_nearest_that_work(size):
    if decomposable(size):
        base, n = models.levels(size)
        assert base << n == size
        return
    near = next((s for s in range(size, 0, -1) if decomposable(s)), None), next(filter(decomposable, range(size, 2000)))
    named = " and ".join(str(s) for s in near if s)
    with pytest.raises(
        ShapeError, match=rf"no DCGAN has {size} x {size} images: .* that works? (are|is) {named}$"
    ) as caught:
        models.levels(size)
    convolution, of, p, side = re.search(
        r"Conv2d (\d+) of (\d+) in D makes P = (.*) = \d+ of a side of (\d+)", str(caught.value)
    ).groups()
    assert side == str(size >> int(convolution) - 1)
    assert int(side) % 2 == 1  # which no transposed convolution makes again
    assert eval(p.replace("floor", "").replace("/", "//")) == int(side) // 2
    if int(side) > 1:
        transposed, back = re.search(r"ConvTranspose2d (\d+) of .* makes H = (.*) = ", str(caught.value)).groups()
        assert int(transposed) + int(convolution) == int(of) + 1
        assert eval(back) == int(side) - 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "vae"}, "model must be one of gan, dcgan, got 'vae'"),
        ({"size": 30}, "no DCGAN has 30 x 30 images"),
        ({"size": 0}, "size must be an integer of at least 1, got 0"),
        ({"size": 28.0}, "size must be an integer of at least 1, got 28.0"),
        ({"channels": 0}, "channels must be an integer of at least 1, got 0"),
        ({"width": 0}, "width must be an integer of at least 1, got 0"),
        ({"latent": -1}, "latent must be an integer of at least 1, got -1"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments, message):
    for model in models.MODELS:
        if arguments == {"size": 30} and model == "gan":
            continue  # fully connected, for any size
        with pytest.raises((ShapeError, RunError), match=f"^{re.escape(message)}"):
            models.build(**({"model": model} | arguments))


@settings(max_examples=10)
@given(st.integers(1, 9), st.integers(1, 3), st.integers(1, 3))
def test_the_fully_connected_gan_has_any_size(size, channels, width):
    g, d = models.build("gan", 0, size, channels, width)
    images = g(latents(2))
    assert images.shape == (2, channels, size, size)
    assert d(images).shape == (2, 1)
    assert [p.shape[0] for p in g.parameters()[::2]] == [4 * width, 8 * width, channels * size * size]


def test_build_draws_the_generator_first_and_then_the_player_that_was_asked_for():
    for critic, second in ((False, models.dcgan_discriminator), (True, models.dcgan_critic)):
        rng = np.random.default_rng(3)
        apart = models.dcgan_generator(24, 2, 3, rng), second(24, 2, 3, rng)
        for built, expected in zip(models.build("dcgan", 3, 24, 2, 3, critic), apart, strict=True):
            state = expected.state_dict()
            assert list(built.state_dict()) == list(state)
            for key, value in built.state_dict().items():
                np.testing.assert_array_equal(value, state[key])


# SHA-256 of keys, shapes and values, before the networks had any size: runs and papers refer to what a seed draws
DRAWN = {
    "mlp_generator": "5274d39c3fb90cf9",
    "mlp_discriminator": "ad9aa560acc83dac",
    "dcgan28_generator": "842dd23f3fbad650",
    "dcgan28_discriminator": "5da4b219c13106a2",
    "dcgan28_critic": "52b4564b0d3b8831",
    "dcgan64_generator": "cb414ad44216a8bd",
    "dcgan64_discriminator": "ab91f68b4a03679f",
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_seed_draws_what_it_always_drew(name):
    digest = sha256()
    with mg.backend("numpy"):
        for key, value in getattr(models, name)(7).state_dict().items():
            for part in (key.encode(), np.ascontiguousarray(value).tobytes(), str(value.shape).encode()):
                digest.update(part)
    assert digest.hexdigest()[:16] == DRAWN[name]


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
