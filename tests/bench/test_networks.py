"""What is measured: players that take latents to images to values, PyTorch's names for their layers, and the floor's products."""

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench_support import SHORT
from hypothesis import given, settings
from hypothesis import strategies as st

import minigan as mg
from minigan.backends.numpy import NUMPY
from minigan.bench.compare import Bench
from minigan.bench.minigan_side import Side
from minigan.bench.networks import MAKERS, NETWORKS, Network, described, named, players
from minigan.bench.products import least, matrices, products
from minigan.errors import RunError


@pytest.mark.parametrize("model", MAKERS)
def test_players_take_latents_to_images_to_values(model):
    network = Network(model, model=model, width=2)
    g, d = players(network)
    images = g(mg.tensor(np.random.default_rng(0).normal(size=(2, 100)).astype("float32")))
    assert images.shape == (2, *network.image)
    assert d(images).shape == (2, 1)


@pytest.mark.parametrize("model", MAKERS)
def test_players_are_the_same_numbers_every_time(model):
    pairs = [players(Network(model, model=model, width=1)) for _ in range(2)]
    for first, second in zip(*pairs, strict=True):
        assert all((a.numpy() == b.numpy()).all() for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_layers_are_plain_data_under_pytorchs_names():
    layers = mg.nn.Sequential(
        mg.nn.Dense(3, 8, bias=False), mg.nn.Reshape(2, 2, 2), mg.nn.BatchNorm(2), mg.nn.LeakyReLU(0.3),
        mg.nn.ConvTranspose2d(2, 4, 4, stride=2, padding=1), mg.nn.Tanh(), mg.nn.Flatten(),
    )  # fmt: skip
    assert described(layers) == [
        ("Linear", {"in_features": 3, "out_features": 8, "bias": False}),
        ("Unflatten", {"dim": 1, "unflattened_size": (2, 2, 2)}),
        ("BatchNorm2d", {"num_features": 2, "eps": 1e-5, "momentum": 0.1}),
        ("LeakyReLU", {"negative_slope": 0.3}),
        (
            "ConvTranspose2d",
            {
                "in_channels": 2, "out_channels": 4, "kernel_size": (4, 4), "stride": 2, "padding": 1, "output_padding": 0,
                "groups": 1, "dilation": 1, "bias": True,
            },
        ),
        ("Tanh", {}),
        ("Flatten", {}),
    ]  # fmt: skip
    with pytest.raises(RunError, match="does not know how PyTorch calls Sigmoid"):
        described(mg.nn.Sequential(mg.nn.Sigmoid()))


def test_an_unknown_network_is_answered_with_those_that_are_known():
    with pytest.raises(
        RunError, match="no network 'vae' in the bench; there is: dcgan28, mlp, wgan-gp28, dcgan64, tanh"
    ):
        named("vae")


def test_the_products_of_the_mlps_step_counted_by_hand():
    n = 64
    forward_g = [(n, 100, 256), (n, 256, 512), (n, 512, 784)]
    forward_d = [(n, 784, 512), (n, 512, 256), (n, 256, 1)]
    by_weight = lambda layers: [(i, n, o) for n, i, o in layers]
    by_input = lambda layers: [(n, o, i) for n, i, o in layers]
    expected = forward_g + by_weight(forward_g) + by_input(forward_g[1:])  # nothing by the latents
    expected += 2 * (forward_d + by_weight(forward_d) + by_input(forward_d[1:]))  # nor by what D judges
    expected += forward_d + by_input(forward_d)  # G's turn: by the images, and not by D's weights
    assert Counter(p[:3] for p in products(NETWORKS["mlp"])) == Counter(expected)


def test_a_convolutions_products_are_of_patches():
    layers = mg.nn.Sequential(
        mg.nn.Conv2d(3, 8, 4, stride=2, padding=1), mg.nn.ReLU(), mg.nn.ConvTranspose2d(8, 5, 4, stride=2, padding=1)
    )
    conv, transposed = (matrix.on(2) for matrix in matrices(layers, (3, 12, 10)))
    rows = 2 * 6 * 5  # places of the small side
    assert [p[:3] for p in conv] == [(rows, 3 * 16, 8), (rows, 8, 3 * 16), (3 * 16, rows, 8)]
    assert [p[:3] for p in transposed] == [(rows, 8, 5 * 16), (rows, 5 * 16, 8), (8, rows, 5 * 16)]


def test_the_penalty_goes_down_to_the_images_and_up_again():
    """On top of G forward and D's two passes: through D and back, all weights, and up but for the last layer."""
    network = NETWORKS["wgan-gp28"]
    _, d = players(network)
    shapes = Counter(products(network))
    first, *_, last = [matrix.on(network.batch) for matrix in matrices(d, network.image)]
    assert [shapes[p] for p in first] == [4, 1, 3]
    assert [shapes[p] for p in last] == [3, 3, 3]
    assert products(NETWORKS["tanh"]) == []


# -- what a step does at least, and what it does -----------------------------------------------------------------------------


class Watch:
    """Counts what a real step multiplies and moves: the outermost calls of the kernels that have a weight's shape, and Adam's.

    A convolution multiplies each place of its small side with the whole weight.
    """

    def __init__(self, patch):
        self.counted, self.inside = Counter(), False
        self.watch(patch, "conv2d", lambda x, weight, y: (x.size, weight.size, y.size, y[:, 0].size * weight.size))
        self.watch(patch, "conv2d_input_grad", lambda dy, w, dx: (dy.size, w.size, dx.size, dy[:, 0].size * w.size))
        self.watch(patch, "conv2d_weight_grad", lambda x, dy, dw: (x.size, dy.size, dw.size, dy[:, 0].size * dw.size))
        self.watch(patch, "matmul", lambda a, b, y: (a.size, b.size, y.size, a.size * b.shape[1]))
        self.watch(patch, "adam", lambda value, grad, y: (3 * value.size, 3 * value.size, grad.size, 0))

    def watch(self, patch, name, sizes):
        kernel = getattr(NUMPY, name)

        def watched(a, b, *args, **kwargs):
            if self.inside:
                return kernel(a, b, *args, **kwargs)
            self.inside = True
            y = kernel(a, b, *args, **kwargs)
            self.inside = False
            *numbers, multiplied = sizes(a, b, y)
            self.counted.update(bytes=4 * sum(numbers), operations=2 * multiplied)
            return y

        patch.setattr(NUMPY, name, watched)


@pytest.mark.host
@settings(max_examples=10)
@given(st.sampled_from(["mlp", "dcgan28", "wgan-gp28", "dcgan64"]), st.integers(1, 3), st.integers(2, 4))
def test_the_floors_are_what_a_real_step_multiplies_and_moves(name, width, batch):
    network = replace(NETWORKS[name], width=width, batch=batch)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        side = Side({**Bench(network, SHORT, Path(folder)).job, "precision": "fp32"})
        watch = Watch(patch)
        side.step()
    assert dict(watch.counted) == least(network)
