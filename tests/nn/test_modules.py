"""Modules: state by attribute, modes, loading, freezing."""

import numpy as np
import pytest

import minigan as mg
from minigan import nn
from minigan.errors import ShapeError


class Block(nn.Module):
    def __init__(self):
        self.body = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False, rng=0), nn.BatchNorm(4), nn.ReLU())
        self.scale = nn.Parameter([2.0])

    def forward(self, x):
        return self.body(x) * self.scale


def test_state_dict_has_pytorchs_keys_and_copies():
    block = Block()
    state = block.state_dict()
    assert list(state) == [
        "scale",
        "body.0.weight",
        "body.1.weight",
        "body.1.bias",
        "body.1.running_mean",
        "body.1.running_var",
        "body.1.num_batches_tracked",
    ]
    assert state["body.1.num_batches_tracked"].dtype == np.int64
    state["scale"][:] = 0
    assert block.scale.item() == 2.0


def test_a_loaded_module_computes_the_same_and_keeps_its_parameters():
    source, target = Block(), Block()
    x = np.random.default_rng(0).normal(size=(4, 2, 5, 5)).astype("float32")
    source(x)  # moves the running statistics
    before = target.parameters()
    target.load_state_dict(source.state_dict())
    assert all(a is b for a, b in zip(before, target.parameters(), strict=True))
    np.testing.assert_array_equal(source.eval()(x).numpy(), target.eval()(x).numpy())


def test_loading_names_every_fault_and_changes_nothing():
    block = Block()
    before = block.state_dict()
    state = block.state_dict()
    del state["scale"]
    state["extra"] = np.zeros(1)
    state["body.1.bias"] = np.zeros(5)
    state["body.0.weight"] += 1
    state["body.1.weight"] = np.array(list("abcd"))
    with pytest.raises(ShapeError) as caught:
        block.load_state_dict(state)
    for part in (
        "scale is missing",
        "extra is unknown",
        "body.1.bias has shape (5,) where (4,)",
        "body.1.weight is no array of numbers: dtype <U1 is not supported",
        "nothing was changed",
    ):
        assert part in str(caught.value)
    for key, value in block.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_loading_without_strict_passes_over_other_keys_but_not_other_shapes():
    block = Block()
    block.load_state_dict({"scale": np.array([5.0]), "extra": np.zeros(1)}, strict=False)
    assert block.scale.item() == 5.0
    with pytest.raises(ShapeError):
        block.load_state_dict({"scale": np.zeros(2)}, strict=False)


def test_a_parameter_used_twice_is_listed_once():
    block = nn.Sequential(shared := nn.Dense(2, 2), shared)
    assert len(block.parameters()) == 2


def test_modes_reach_every_submodule_and_evaluation_leaves_the_statistics_alone():
    block = Block().eval()
    assert not any(m.training for m in block.modules())
    before = block.state_dict()
    block(np.ones((2, 2, 3, 3), "float32"))
    for key, value in block.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    assert all(m.training for m in block.train().modules())


def test_evaluation_treats_each_image_by_itself():
    block = Block()
    x = np.random.default_rng(0).normal(size=(6, 2, 5, 5)).astype("float32")
    block(x)
    together, alone = block.eval()(x).numpy()[:1], block(x[:1]).numpy()
    np.testing.assert_allclose(
        together, alone, rtol=1e-5, atol=1e-6
    )  # float32 products of other sizes round differently


def test_frozen_parameters_are_constants_and_thaw_even_after_an_error():
    block, x = Block(), mg.tensor(np.ones((2, 2, 3, 3)), requires_grad=True)
    block.scale.requires_grad = False
    with pytest.raises(KeyError), nn.frozen(block):
        block(x).sum().backward()
        assert x.grad is not None
        assert all(p.grad is None for p in block.parameters())
        raise KeyError
    assert [p.requires_grad for p in block.parameters()] == [False, True, True, True]


def test_a_module_prints_its_layers():
    assert repr(nn.Sequential(nn.Flatten(), nn.Dense(4, 2), nn.LeakyReLU(0.2))) == (
        "Sequential(\n  (0): Flatten()\n  (1): Dense(4, 2, bias=True)\n  (2): LeakyReLU(0.2)\n)"
    )
    assert "ConvTranspose2d(8, 4, kernel_size=(4, 4), stride=2, padding=1, bias=False)" in repr(
        nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1, bias=False)
    )


def test_dcgan_initialisation_draws_weights_only():
    layers = nn.Sequential(nn.Conv2d(16, 64, 4, rng=0), nn.BatchNorm(64), nn.Dense(64, 100, rng=0))
    nn.init.dcgan(layers, rng=1)
    for p in layers.parameters():
        values = p.numpy()
        if p.ndim > 1:
            # 5 standard errors of a mean and of a standard deviation over n draws
            assert abs(values.mean()) < 5 * 0.02 / np.sqrt(p.size)
            assert abs(values.std() - 0.02) < 5 * 0.02 / np.sqrt(2 * p.size)
    np.testing.assert_array_equal(layers[1].weight.numpy(), np.ones(64))
    np.testing.assert_array_equal(layers[0].bias.numpy(), np.zeros(64))


def test_the_same_seed_gives_the_same_layer():
    np.testing.assert_array_equal(nn.Dense(5, 3, rng=7).weight.numpy(), nn.Dense(5, 3, rng=7).weight.numpy())
    mg.seed(3)
    first = nn.Dense(5, 3).weight.numpy()
    mg.seed(3)
    np.testing.assert_array_equal(first, nn.Dense(5, 3).weight.numpy())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Sequential(nn.ReLU(), "relu"), "takes modules, got str at position 1"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups=2 must divide in_channels=3"),
        (
            lambda: nn.Conv2d(3, 4, 3, padding="same"),
            "padding must be an integer of at least 0, or a pair .* got 'same'",
        ),
        (lambda: nn.Conv2d(3, 4, 3, dilation=0), "dilation must be an integer of at least 1"),
        (lambda: nn.Conv2d(3, 4, (3, 0)), "kernel_size must be an integer of at least 1"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, output_padding=-1), "output_padding must be an integer of at least 0"),
        (
            lambda: nn.MaxPool2d(2, padding="valid"),
            "padding must be an integer of at least 0, or a pair .* got 'valid'",
        ),
        (lambda: nn.BatchNorm(4)(np.ones((1, 4), "float32")), "more than one value a channel"),
        (lambda: nn.Conv2d(1, 1, 9)(np.ones((1, 1, 4, 4), "float32")), "the output would be empty"),
        (lambda: nn.Dense(3, 2)(np.ones((1, 4), "float32")), "the same number of inputs"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises((ValueError, TypeError), match="(?s)" + message.replace("(", r"\(")):
        make()


@pytest.mark.parametrize(
    ("layer", "sides"),
    [
        (nn.Flatten(), (12,)),
        (nn.Reshape(-1, 6), (2, 6)),
        (nn.MaxPool2d(2), (3, 1, 1)),
        (nn.AvgPool2d(2), (3, 1, 1)),
        (nn.Upsample(2), (3, 4, 4)),
        (nn.Conv2d(3, 4, 1, rng=0), (4, 2, 2)),
        (nn.ConvTranspose2d(3, 4, 2, rng=0), (4, 3, 3)),
    ],
)
def test_an_empty_batch_gives_an_empty_batch(layer, sides):
    x = mg.tensor(np.zeros((0, 3, 2, 2)), requires_grad=True)
    y = layer(x)
    assert y.shape == (0, *sides)
    assert mg.grad(y.sum(), x).shape == x.shape


def test_forgetting_forward_is_said():
    with pytest.raises(NotImplementedError, match="has no forward"):
        nn.Module()(1)


def test_a_module_list_holds_state_and_leaves_the_calls_to_its_owner():
    layers = nn.ModuleList(nn.Dense(3, 3, rng=i) for i in range(2))
    assert list(layers.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert len(layers) == 2
    assert layers[1] is list(layers)[1]


def test_dropout_acts_in_training_only_and_draws_anew():
    layer, x = nn.Dropout(0.5, rng=0), mg.tensor(np.ones((50, 4), "float32"))
    first, second = layer(x).numpy(), layer(x).numpy()
    assert (first != second).any()
    assert layer.eval()(x) is x


def test_layers_of_composite_ops_are_those_ops():
    x = mg.tensor(np.random.default_rng(0).normal(size=(2, 3, 4, 4)))
    np.testing.assert_array_equal(nn.Upsample(2)(x).numpy(), mg.ops.upsample_nearest2d(x, 2).numpy())
    np.testing.assert_array_equal(nn.AvgPool2d(2, 1, 1)(x).numpy(), mg.ops.avg_pool2d(x, 2, 1, 1).numpy())
    np.testing.assert_array_equal(nn.MaxPool2d(3, 1, 1)(x).numpy(), mg.ops.max_pool2d(x, 3, 1, 1).numpy())
    table, index = nn.Embedding(5, 3, rng=0), np.array([[0, 4], [4, 2]])
    np.testing.assert_array_equal(table(index).numpy(), table.weight.numpy()[index])


def test_initialisers_have_the_spread_of_their_papers():
    dense, conv = nn.Dense(300, 200).weight, nn.Conv2d(32, 64, 3).weight
    for p, fan_in, fan_out in ((dense, 300, 200), (conv, 32 * 9, 64 * 9)):
        nn.init.xavier(p, rng=0)
        bound = np.sqrt(6 / (fan_in + fan_out))
        assert np.abs(p.numpy()).max() <= bound
        # 5 standard errors of a standard deviation over n draws, in both
        assert abs(p.numpy().std() - bound / np.sqrt(3)) < 5 * bound / np.sqrt(2 * p.size)
        nn.init.he(p, negative_slope=0.2, rng=0)
        std = np.sqrt(2 / (1.04 * fan_in))
        assert abs(p.numpy().std() - std) < 5 * std / np.sqrt(2 * p.size)
