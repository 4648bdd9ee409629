"""dL/dX as numbers and as a picture, and what following it does to a network that stays as it is."""

import io
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.errors import MissingGradient, ShapeError
from minigan.study import fool, gradient_picture, image_gradient

seeds = st.integers(0, 2**32 - 1)
eps_values = st.floats(0, 2)


def network(seed):
    """A small smooth network, a loss of it, and images that it looks at."""
    rng = np.random.default_rng(seed)
    n, channels = int(rng.integers(1, 5)), int(rng.choice((1, 3)))
    images = rng.uniform(-1, 1, (n, channels, 4, 5)).astype("float32")
    layers = mg.nn.Flatten(), mg.nn.Dense(channels * 20, 8, rng=rng), mg.nn.Tanh(), mg.nn.Dense(8, 3, rng=rng)
    net = mg.nn.Sequential(*layers)
    return net, lambda x: mg.ops.softplus(net(x)).mean(), images


@given(seeds)
def test_the_gradient_is_that_of_grad_and_no_weight_gets_one(seed):
    net, loss, images = network(seed)
    x = mg.tensor(images, requires_grad=True)
    value = loss(x)
    expected = mg.grad(value, x).numpy()
    found, dL_dX = image_gradient(loss, images)
    assert found == value.item()
    assert dL_dX.dtype == images.dtype
    np.testing.assert_array_equal(dL_dX, expected)
    assert [p.grad for p in net.parameters()] == [None] * 4


@given(seed=seeds, eps=eps_values, steps=st.integers(1, 4), rate=st.none() | st.floats(0, 2))
def test_no_pixel_leaves_its_box(seed, eps, steps, rate):
    _, loss, images = network(seed)
    before = images.copy()
    fooled, losses = fool(loss, images, eps, steps, rate)
    assert fooled.shape == images.shape
    assert fooled.dtype == images.dtype
    assert abs(fooled).max() <= 1
    # x + eps is rounded to float32, by half its last place: 2^-24 of a number that is at most 3
    assert abs(fooled.astype(float) - images).max() <= eps + 2**-22
    assert len(losses) == steps + 1
    assert losses[0] == loss(mg.tensor(images)).item()
    assert losses[-1] == loss(mg.tensor(fooled)).item()
    np.testing.assert_array_equal(images, before)


@given(seed=seeds, steps=st.integers(1, 4))
def test_without_room_nothing_changes(seed, steps):
    _, loss, images = network(seed)
    for eps, rate in ((0.0, 1.0), (1.0, 0.0)):
        fooled, losses = fool(loss, images, eps, steps, rate)
        np.testing.assert_array_equal(fooled, images)
        assert losses == losses[:1] * (steps + 1)


@given(seed=seeds, steps=st.integers(1, 5))
def test_the_loss_rises_with_every_small_step(seed, steps):
    _, loss, images = network(seed)
    # A step raises the loss by rate * sum |dL/dX|, about 1e-4, less rate^2 / 2 * s'Hs with signs s, of below 1e-6 for so
    # small a network; float32 rounds the loss by 1e-7.
    _, losses = fool(loss, 0.9 * images, eps=0.1, steps=steps, rate=1e-3)
    assert all(before < after for before, after in pairwise(losses))


@given(seed=seeds, eps=st.floats(0.01, 1))
def test_one_step_is_the_fast_gradient_sign(seed, eps):
    _, loss, images = network(seed)
    _, dL_dX = image_gradient(loss, images)
    fooled, _ = fool(loss, images, eps)
    # eps rounded to float32 and added in another order: some units of 2^-24, of numbers that are at most 2
    np.testing.assert_allclose(fooled, np.clip(images + eps * np.sign(dL_dX), -1, 1), rtol=0, atol=2**-21)


@given(seed=seeds, steps=st.integers(1, 4))
def test_all_steps_together_just_reach_the_rim_of_the_box(seed, steps):
    _, loss, images = network(seed)
    by_default, _ = fool(loss, images, 0.3, steps)
    np.testing.assert_array_equal(by_default, fool(loss, images, 0.3, steps, rate=0.3 / steps)[0])


def test_the_judge_takes_changed_digits_for_others():
    images, labels = (part[::100] for part in mg.data.digits())
    judge = mg.metrics.judge()
    with mg.backend("numpy"):  # where the judge lives
        target = mg.tensor(labels)
        fooled, losses = fool(lambda x: mg.ops.cross_entropy(judge.network(x), target), images, eps=0.2, steps=4)
    right = lambda x: (judge.probabilities(x).argmax(axis=1) == labels).mean()
    noise = np.random.default_rng(0).choice((-0.2, 0.2), images.shape).astype("float32")
    assert losses == sorted(losses)
    assert right(fooled) < 0.3 < 0.8 < right((images + noise).clip(-1, 1))


@given(seed=seeds, rows=st.integers(1, 3), titled=st.booleans())
def test_the_picture_shows_every_number_about_0(seed, rows, titled):
    _, loss, images = network(seed)
    _, dL_dX = image_gradient(loss, images)
    shown = {f"row {i}": dL_dX * 10.0**-i for i in range(rows)}
    titles = [f"image {i}" for i in range(len(images))] if titled else ()
    figure = gradient_picture(images, shown, titles)
    panels = [axes for axes in figure.axes if axes.images]
    bars = [axes for axes in figure.axes if not axes.images]
    n = len(images)
    assert (len(panels), len(bars)) == (n * (1 + rows), rows)
    assert [axes.get_title() for axes in panels[:n]] == (list(titles) or [""] * n)
    for axes, image in zip(panels, images, strict=False):
        seen = np.asarray(axes.images[0].get_array())
        # (x + 1) / 2 and back rounds twice
        np.testing.assert_allclose(
            seen if len(image) == 1 else 2 * seen.transpose(2, 0, 1) - 1,
            image if len(image) > 1 else image[0],
            atol=3e-7,
        )
    for i, (name, gradient) in enumerate(shown.items()):
        row, signed = panels[n * (1 + i) : n * (2 + i)], gradient.sum(axis=1)
        reach = abs(signed).max()
        np.testing.assert_array_equal([axes.images[0].get_array() for axes in row], signed)
        assert {axes.images[0].get_clim() for axes in row} == {(-reach, reach)}
        assert row[0].get_ylabel() == name
        np.testing.assert_array_equal(bars[i].get_yticks(), [-reach, 0, reach])
        assert [label.get_text() for label in bars[i].get_yticklabels()] == [f"−{reach:.2g}", "0", f"{reach:.2g}"]
    figure.savefig(io.BytesIO())


def test_a_gradient_of_zeros_has_a_picture_and_a_figure_may_be_given():
    from matplotlib.figure import Figure

    given_figure = Figure(layout="constrained")
    images = np.zeros((2, 1, 3, 3))
    assert gradient_picture(images, {"dL/dX": images}, figure=given_figure) is given_figure
    assert given_figure.axes[2].images[0].get_clim() == (-1, 1)


IMAGES = np.zeros((2, 1, 3, 3), "float32")
BAD_IMAGES = {
    "list": ([[0.0]], "NumPy array of floats .* got list"),
    "tensor": (mg.tensor([[0.0]]), r"got Tensor \(1, 1\) of float32"),
    "integers": (np.zeros((1, 1, 2, 2), int), "int64"),
    "a matrix": (np.zeros((2, 2)), r"\(2, 2\) of float64"),
    "two colours": (np.zeros((1, 2, 2, 2)), r"\(1, 2, 2, 2\)"),
    "none": (np.zeros((0, 1, 2, 2)), "there is no image"),
}


@pytest.mark.parametrize(("images", "message"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_what_is_no_images_is_refused(images, message):
    for call in (
        lambda: image_gradient(mg.ops.sum, images),
        lambda: fool(mg.ops.sum, images, 0.1),
        lambda: gradient_picture(images, {"dL/dX": images}),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eps": -0.1}, "eps must be a finite number of at least 0, got -0.1"),
        ({"eps": np.inf}, "eps .* got inf"),
        ({"eps": np.nan}, "eps .* got nan"),
        ({"eps": 1.0, "rate": -1.0}, "rate .* got -1.0"),
        ({"eps": 1.0, "rate": np.inf}, "rate .* got inf"),
        ({"eps": 1.0, "steps": 0}, "steps must be an integer of at least 1, got 0"),
        ({"eps": 1.0, "steps": 1.5}, "steps .* got 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        fool(mg.ops.sum, IMAGES, **settings)


@pytest.mark.parametrize("pixel", [-1.5, 1.5, np.nan])
def test_images_outside_the_box_are_refused(pixel):
    images = IMAGES.copy()
    images[1, 0, 1, 1] = pixel
    with pytest.raises(ValueError, match=r"images must lie in \[-1, 1\], got values from"):
        fool(mg.ops.sum, images, 0.1)


def test_a_loss_that_has_no_gradient_there_says_why():
    w = mg.tensor([1.0], requires_grad=True)
    with pytest.raises(MissingGradient, match="'images' is not on any path"):
        image_gradient(lambda x: (w * w).sum(), IMAGES)
    with pytest.raises(ShapeError, match="scalar"):
        image_gradient(lambda x: x * 2, IMAGES)
    with pytest.raises(TypeError, match="differentiates Tensors"):
        image_gradient(lambda x: 1.0, IMAGES)


@pytest.mark.parametrize(
    ("gradients", "titles", "message"),
    [
        ({}, (), "got none"),
        ({"a": IMAGES[:1]}, (), r"'a' must be of the images' shape \(2, 1, 3, 3\), got \(1, 1, 3, 3\)"),
        ({"a": IMAGES + np.nan}, (), "'a' .* not finite"),
        ({"a": IMAGES}, ["one"], "one for each of 2 images, got 1"),
    ],
)
def test_a_picture_that_cannot_be_drawn_says_why(gradients, titles, message):
    with pytest.raises(ValueError, match=message):
        gradient_picture(IMAGES, gradients, titles)
