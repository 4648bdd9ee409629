"""Conditional GANs: what each player makes of a label, that runs tell it, and that samples are what was asked for."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread

import minigan as mg
from minigan.errors import RunError, ShapeError
from minigan.gan import PRESETS, Given, Run, Trainer, conditional, pictures
from minigan.gan.penalties import PENALTIES
from minigan.nn import Dense, Module, Sequential, SpectralNorm, Tanh
from minigan.testing import check_grads

seeds = st.integers(0, 2**32 - 1)
players = pytest.mark.parametrize("kind", ["generator", "projection", "concatenation"])


def player_of(kind, rng, classes=4):
    """A small smooth conditional player, and samples for it."""
    if kind == "generator":
        inner = Sequential(Dense(3 + 2, 4, rng=rng), Tanh(), Dense(4, 2, rng=rng))
        return conditional.ConditionalGenerator(inner, classes, code=2, rng=rng), (3,)
    if kind == "projection":
        inner = Sequential(Dense(3, 4, rng=rng), Tanh(), Dense(4, 1, rng=rng))
        return conditional.Projection(inner, classes, rng=rng), (3,)
    inner = Sequential(mg.nn.Conv2d(2, 3, 2, rng=rng), Tanh(), mg.nn.Flatten(), Dense(12, 1, rng=rng))
    return conditional.Concatenation(inner, classes, side=3, rng=rng), (1, 3, 3)


@pytest.fixture(autouse=True)
def little_data(monkeypatch):
    """Eighty digits of all classes."""
    images, labels = mg.data.digits()
    monkeypatch.setattr(mg.data, "load", lambda *_: (images[3::62], labels[3::62]))


def settings(out, model="gan", **changes):
    return replace(
        PRESETS[model], **{"steps": 4, "batch_size": 8, "judge": 0, "conditional": True, "out": out, **changes}
    )


@players
@given(seeds, st.integers(1, 4))
def test_gradients_of_samples_and_of_all_parameters(kind, seed, n):
    rng = np.random.default_rng(seed)
    player, shape = player_of(kind, rng)
    labels = rng.integers(4, size=n)
    x = rng.normal(size=(n, *shape))
    check_grads(Given(player, labels), x, order=1)
    check_grads(Given(player, labels), x, order=2)


@players
@given(seeds, st.integers(1, 4))
def test_a_sample_has_its_own_label_and_no_other(kind, seed, n):
    """Samples in another order with their labels come out in that order; a label is one row of the table."""
    rng = np.random.default_rng(seed)
    player, shape = player_of(kind, rng)
    labels, order = rng.integers(4, size=n), rng.permutation(n)
    x = rng.normal(size=(n, *shape)).astype("float32")
    whole = player(mg.tensor(x), labels)
    moved = player(mg.tensor(x[order]), labels[order])
    # float32 sums of a few numbers of order 1, in another order
    np.testing.assert_allclose(moved.numpy(), whole.numpy()[order], rtol=1e-5, atol=1e-6)
    whole.sum().backward()
    told = np.flatnonzero(np.abs(player.embedding.weight.grad.numpy()).sum(axis=1))
    assert {*told} == {*labels}


@given(seeds, st.integers(1, 4))
def test_projection_adds_the_class_to_the_last_layer(seed, n):
    rng = np.random.default_rng(seed)
    d, _ = player_of("projection", rng)
    x, labels = mg.tensor(rng.normal(size=(n, 3))), rng.integers(4, size=n)
    phi = d.body(x).numpy()
    weight = d.head.weight.numpy().astype("float64") + d.embedding.weight.numpy()[labels]
    expected = (phi * weight).sum(axis=1, keepdims=True) + d.head.bias.numpy()
    np.testing.assert_allclose(d(x, labels).numpy(), expected, rtol=1e-12, atol=1e-12)  # float64 sums of 4 numbers


def test_projection_asks_for_one_logit():
    for last in (Dense(3, 2), Tanh()):
        with pytest.raises(ShapeError, match=r"whose last layer is Dense\(F, 1\), got"):
            conditional.Projection(Sequential(Dense(2, 3), last), classes=10)


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_a_penalty_sees_the_labels_and_what_is_below_them(penalty):
    d, _ = player_of("projection", np.random.default_rng(0))
    real, fake = (mg.tensor(np.random.default_rng(i).normal(size=(2, 3))) for i in (1, 2))
    labels = np.array([0, 3])
    expected = penalty(lambda x: d(x, labels), real, fake, rng=0).item()
    assert penalty(Given(d, labels), real, fake, rng=0).item() == expected
    assert penalty(Given(d, labels[::-1]), real, fake, rng=0).item() != expected
    _, normed = mg.gan.models.build("dcgan", 0, width=2, classes=4)
    with pytest.raises(ValueError, match=r"batch norm|BatchNorm"):
        penalty(Given(normed, labels), *(mg.tensor(np.zeros((2, 1, 28, 28), "float32")),) * 2)


@pytest.mark.parametrize("condition", conditional.CONDITIONS)
@pytest.mark.parametrize("model", mg.gan.models.MODELS)
def test_every_model_has_conditional_players(model, condition):
    g, d = mg.gan.models.build(model, 0, width=4, classes=3, condition=condition)
    labels = np.array([0, 2])
    images = g(mg.tensor(np.zeros((2, 100), "float32")), labels)
    assert images.shape == (2, 1, 28, 28)
    assert np.abs(images.numpy()[0] - images.numpy()[1]).max() > 0  # the latents are alike, the labels are not
    logits = [d(images[:1], np.array([label])).item() for label in range(3)]
    assert len(set(logits)) == 3
    with pytest.raises(RunError, match="condition must be one of projection, concatenation, got 'film'"):
        mg.gan.models.build(model, 0, classes=3, condition="film")


@pytest.mark.parametrize("condition", conditional.CONDITIONS)
def test_spectral_norm_reaches_every_layer_with_a_weight(tmp_path, condition):
    d = Trainer(settings(tmp_path, "dcgan", norm="spectral", condition=condition)).discriminator
    layers = [m for m in d.modules() if isinstance(m, (Dense, mg.nn.Conv2d, mg.nn.Embedding))]
    assert len(layers) == 4
    assert {id(m.layer) for m in d.modules() if isinstance(m, SpectralNorm)} == {id(m) for m in layers}


class Told(Module):
    """Notes what it is called with."""

    def __init__(self, player, calls):
        self.player, self.calls = player, calls

    def forward(self, x, labels):
        self.calls.append((x.numpy().copy(), labels.numpy()))
        return self.player(x, labels)


def test_both_players_are_told_the_labels_of_the_real_images(tmp_path):
    t = Trainer(settings(tmp_path, d_steps=2))
    images, labels = t.loader.arrays
    order = t.loader.order
    to_g, to_d = [], []
    t.generator, t.critic = Told(t.generator, to_g), Told(t.critic, to_d)
    t.step()
    turns = labels[order[:8]], labels[order[8:16]]
    np.testing.assert_array_equal(to_d[0][0], images[order[:8]])
    for calls, expected in ((to_g, turns), (to_d, [turns[0]] * 2 + [turns[1]] * 3)):  # real, generated; and G's turn
        assert len(calls) == len(expected)
        for (_, given_labels), asked in zip(calls, expected, strict=True):
            np.testing.assert_array_equal(given_labels, asked)


def test_samples_are_of_the_label_that_is_asked_for(tmp_path):
    Trainer(settings(tmp_path)).run()
    run = mg.gan.load(tmp_path)
    each = run.sample(20, seed=1)
    for label in range(10):
        of_it = run.sample(20, seed=1, label=label)
        mine = slice(2 * label, 2 * label + 2)  # the same latents, and each class in turn
        np.testing.assert_allclose(each[mine], of_it[mine], atol=1e-5)  # products of other batches round otherwise
        assert np.abs(of_it - run.sample(20, seed=1, label=(label + 1) % 10)).max() > 1e-3
    batch, standing = (run.sample(4, label=2, statistics=s) for s in ("batch", "standing"))
    assert batch.shape == standing.shape == (4, 1, 28, 28)
    for label in (-1, 10):
        with pytest.raises(RunError, match=f"label must be from 0 to 9, got {label}"):
            run.sample(1, label=label)
    with pytest.raises(RunError, match="was not trained with --conditional: no label can be asked for, got 3"):
        Run(replace(run.config, conditional=False), run.generator).sample(1, label=3)


@given(st.integers(1, 200))
def test_each_class_has_its_turn(n):
    labels = replace(PRESETS["gan"], conditional=True).labels(n)
    counts = np.bincount(labels, minlength=10)
    assert counts.max() - counts.min() <= 1
    assert (np.diff(labels) >= 0).all()
    assert PRESETS["gan"].labels(n) is None


def test_images_without_classes_are_refused():
    with pytest.raises(RunError, match=r"folder:photos has none; leave out --conditional"):
        replace(PRESETS["dcgan"], data="folder:photos", conditional=True)


def test_labels_that_changed_are_other_data(tmp_path, monkeypatch):
    Trainer(settings(tmp_path)).run()
    images, labels = mg.data.load("digits")
    monkeypatch.setattr(mg.data, "load", lambda *_: (images, 9 - labels))
    with pytest.raises(RunError, match="digits is not what"):
        Trainer.resume(tmp_path, steps=5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 4))
def test_a_picture_has_a_row_for_each_class(counts, columns):
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.ones((len(labels), 1, 2, 2), "float32")
    picture = imread(BytesIO(pictures.grid(images, columns, scale=1, labels=labels)))[::2, ::2, 0]
    rows = [-(-count // columns) for count in counts]
    assert picture.shape == (sum(rows), columns)
    for of_it, count in zip(np.split(picture, np.cumsum(rows)[:-1]), counts, strict=True):
        assert of_it.ravel().tolist() == [1] * count + [0] * (of_it.size - count)


class Shows(Module):
    """A generator that shows a digit of the label, or of the next one."""

    def __init__(self, images, labels, off=0):
        self.of = [images[labels == (label + off) % 10] for label in range(10)]

    def forward(self, z, labels):
        return mg.tensor(np.stack([self.of[label][i % len(self.of[label])] for i, label in enumerate(labels)]))


def test_the_judge_says_whether_it_is_what_was_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIGAN_DATA", str(tmp_path))  # MNIST is not at hand
    images, labels = mg.data.digits()
    config = replace(PRESETS["gan"], conditional=True)
    right = mg.gan.evaluation.evaluate(Run(config, Shows(images, labels)), n=400)
    wrong = mg.gan.evaluation.evaluate(Run(config, Shows(images, labels, off=1)), n=400)
    assert right["asked_for"] > 0.98  # training digits, of which it gets more than 99% right
    assert right["asked_for_real"] > 0.98
    assert wrong["asked_for"] < 0.02
    assert "asked_for" in mg.gan.evaluation.table(right)
    with pytest.raises(RunError, match="it needs a run that was trained with --conditional"):
        mg.gan.evaluation.evaluate(Run(PRESETS["gan"], Shows(images, labels)), n=400, classifier=True)


def test_a_classifier_of_right_labels_is_right_and_one_of_wrong_labels_is_wrong(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIGAN_DATA", str(tmp_path))
    images, labels = mg.data.digits()
    config = replace(PRESETS["gan"], conditional=True)
    right, wrong = (
        mg.gan.evaluation.evaluate(Run(config, Shows(images, labels, off)), n=1000, classifier=True) for off in (0, 1)
    )
    assert right["classification_score"] > 0.5  # a thousand digits, three epochs: 21 steps alone, which make it 0.69
    assert wrong["classification_score"] < 0.1
    assert f"right on {right['classification_score']:.2%}" in mg.gan.evaluation.table(right)
