"""The averaged generator: the definition over random sequences, its own arrays, and its state."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan.errors import InPlaceChange, ShapeError
from minigan.gan import EMA
from minigan.nn import BatchNorm, ConvTranspose2d, Dense, Module, Parameter, Reshape, Sequential, Tanh
from minigan.testing import STRICT

seeds = st.integers(0, 2**32 - 1)


def generator(seed=0):
    """With every kind of state: weights, batch norm's buffers, an integer."""
    rng = np.random.default_rng(seed)
    return Sequential(
        Dense(3, 8, bias=False, rng=rng), Reshape(2, 2, 2), BatchNorm(2), ConvTranspose2d(2, 1, 2, rng=rng), Tanh()
    )


def latents(seed):
    return mg.tensor(np.random.default_rng(seed).normal(size=(4, 3)).astype("float32"))


def moved(module, rng):
    """Every value of the module changed, the integers as well."""
    for _, t in module.named_state():
        value = rng.normal(size=t.shape) if t.dtype.kind == "f" else t.numpy() + rng.integers(1, 5)
        t.assign_(np.asarray(value).astype(str(t.dtype)))
    return module.state_dict()


@given(seeds, st.floats(0, 1, exclude_max=True), st.integers(0, 30))
def test_it_is_the_definition(seed, decay, updates):
    """average = d average + (1 - d) value with d = min(decay, (1 + t) / (10 + t)); integers are the last ones."""
    rng, module = np.random.default_rng(seed), generator()
    ema, expected = EMA(module, decay), module.state_dict()
    for t in range(updates):
        d, now = min(decay, (1 + t) / (10 + t)), moved(module, rng)
        for name, value in now.items():
            whole = value.dtype.kind != "f"
            expected[name] = value if whole else d * expected[name].astype("float64") + (1 - d) * value
        ema.update()
    assert ema.count == updates
    averages = ema.module.state_dict()
    assert averages.keys() == expected.keys()
    for name, value in module.state_dict().items():
        assert averages[name].dtype == value.dtype
        # float32 in up to 30 steps of three roundings each, on values up to 5
        np.testing.assert_allclose(averages[name], expected[name], rtol=1e-5, atol=1e-5)


@given(st.integers(1, 60))
def test_the_warm_up_ends_at_the_decay(updates):
    """From a parameter that is 1 after the start at 0, what is left of the start is the product of all d."""
    module = Sequential(Dense(1, 1, bias=False, rng=0))
    weight = module[0].weight
    weight.data = weight.data.astype("float64")
    weight.assign_(0.0)
    ema = EMA(module, decay=0.8)  # (1 + t) / (10 + t) reaches it at t = 35
    weight.assign_(1.0)
    left = 1.0
    for t in range(updates):
        left *= (1 + t) / (10 + t) if t < 35 else 0.8
        ema.update()
    # float64: one rounding of a number near 1 in each update
    np.testing.assert_allclose(1 - ema.module[0].weight.item(), left, rtol=0, atol=1e-14)


def test_the_average_is_in_evaluation_mode_and_its_own():
    module = generator()
    module(latents(0)).sum().backward()
    optimizer = mg.optim.Adam(module.parameters())  # whose buffer holds the parameters
    before, grads = module.state_dict(), [p.grad for p in module.parameters()]
    ema = EMA(module)
    assert module.training
    assert all(p.requires_grad for p in module.parameters())
    assert not any(m.training for m in ema.module.modules())
    assert all(p.grad is None and not p.requires_grad for p in ema.module.parameters())
    assert not ema.module(latents(1)).requires_grad

    ema.update()
    for t in ema.module.parameters():
        t.assign_(7.0)
    for name, value in module.state_dict().items():  # neither by an update nor by what the user does to the average
        np.testing.assert_array_equal(value, before[name])
    assert all(p.grad is g for p, g in zip(module.parameters(), grads, strict=True))

    averages = ema.module.state_dict()
    optimizer.step()
    for _, buffer in module.named_state():
        buffer.assign_(3)
    for name, value in ema.module.state_dict().items():
        np.testing.assert_array_equal(value, averages[name])


def test_equal_states_stay_equal():
    """Nothing drifts where nothing moves."""
    module = generator()
    ema = EMA(module)
    for _ in range(100):
        ema.update()
    for name, value in module.state_dict().items():
        np.testing.assert_array_equal(ema.module.state_dict()[name], value)


def test_what_is_tied_is_averaged_once_and_stays_tied():
    class Tied(Module):
        def __init__(self):
            self.a = Parameter(np.zeros(2))
            self.b = self.a

        def forward(self, x):
            return x * self.a * self.b

    module = Tied()
    ema = EMA(module)
    assert ema.module.a is ema.module.b
    module.a.assign_(1.0)
    ema.update()
    # float64, d = 0.1 at first: one rounding
    np.testing.assert_allclose(ema.module.b.numpy(), 0.9, rtol=1e-15)


def test_an_update_is_seen_by_a_graph_that_holds_the_old_values():
    module = generator()
    ema = EMA(module)
    z = latents(0)
    z.requires_grad = True
    y = ema.module(z).sum()
    ema.update()
    with pytest.raises(InPlaceChange, match=r"EMA.update\(\) on 'weight'"):
        y.backward()
    module(z).sum().backward()  # of the module itself nothing was changed
    y = module(z).sum()
    ema.update()
    y.backward()


def test_an_update_records_nothing_and_the_host_reads_nothing():
    with mg.backend("strict"):
        module = generator()
        ema = EMA(module)
        for _ in range(2):
            launches, reads = STRICT.launches, STRICT.host_reads
            ema.update()
            assert STRICT.host_reads == reads
            assert STRICT.launches - launches <= 3 * len(list(module.named_state())) + 2  # d in 3 or 4
    assert not any(t.requires_grad for _, t in ema.module.named_state())
    assert {t.backend for _, t in ema.module.named_state()} == {"strict"}


def test_it_follows_a_module_that_moves():
    module = generator()
    ema = EMA(module)
    module.to("strict")
    ema.update()
    assert {t.backend for _, t in ema.module.named_state()} == {"strict"}


@given(seeds, st.integers(0, 12), st.integers(0, 12))
def test_it_continues_from_its_state_bit_for_bit(seed, before, after):
    rng, module = np.random.default_rng(seed), generator()
    ema = EMA(module, decay=0.6)  # the warm-up reaches it at t = 13, so that the count matters
    for _ in range(before):
        moved(module, rng)
        ema.update()
    other = EMA(module, decay=0.6)
    other.update()  # which is forgotten
    other.load_state_dict(ema.state_dict())
    for _ in range(after):
        moved(module, rng)
        ema.update()
        other.update()
    assert ema.count == other.count == before + after
    for name, value in ema.module.state_dict().items():
        np.testing.assert_array_equal(other.module.state_dict()[name], value)


def test_a_state_is_the_users_own():
    module = generator()
    ema = EMA(module)
    state = ema.state_dict()
    moved(module, np.random.default_rng(0))
    ema.update()
    for name, value in state["module"].items():
        assert not np.array_equal(value, ema.module.state_dict()[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": None}, r"must have \['count', 'module'\], got \['module'\]"),
        ({"count": -1}, "a count of at least 0, got -1"),
        ({"module": {"a": np.zeros(2)}}, "a is unknown"),
        ({"decay": 0.5}, "got .*'decay'"),
    ],
)
def test_a_state_of_something_else_is_refused_whole(change, message):
    ema = EMA(generator())
    ema.update()
    state = {k: v for k, v in ({**EMA(generator(seed=1)).state_dict(), **change}).items() if v is not None}
    before = ema.state_dict()
    with pytest.raises(ShapeError, match=message):
        ema.load_state_dict(state)
    assert ema.count == before["count"]
    for name, value in ema.module.state_dict().items():
        np.testing.assert_array_equal(value, before["module"][name])


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_a_decay_out_of_range_is_named(decay):
    with pytest.raises(ValueError, match=rf"decay must be in \[0, 1\), got {decay}"):
        EMA(generator(), decay)
