"""Captured steps: replayed ones are ordinary ones, bit for bit, whatever happens between them; what cannot be is said."""

import gc
import re
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stop_support import stop

import minigan as mg
from minigan.errors import InPlaceChange
from minigan.gan import EMA, PRESETS, Captured, Trainer, adversarial_step
from minigan.gan.losses import LOSSES
from minigan.nn import BatchNorm, Dense, Dropout, LeakyReLU, Sequential, SpectralNorm
from minigan.testing import STRICT, StrictArray

pytestmark = pytest.mark.host  # they have a backend of their own
LOSS = LOSSES["non-saturating"]


@pytest.fixture(autouse=True)
def on_the_device(monkeypatch):
    """Eighty digits, ten batches of eight, and arrays on the strict backend."""
    (images, labels), load = mg.data.digits(), mg.data.load
    monkeypatch.setattr(
        mg.data, "load", lambda name, *_: (images[:80], labels[:80]) if name == "digits" else load(name, *_)
    )
    with mg.backend("strict"):
        yield


# -- the trainer's steps ------------------------------------------------------------------------------------------------


def trainer(out, model="gan", **changes):
    given = {"steps": 20, "batch_size": 8, "judge": 0, "width": 8 if model == "dcgan" else None, "out": out, **changes}
    return Trainer(replace(PRESETS[model], **given))


def ordinary(out, *args, **changes):
    """A trainer that captures nothing."""
    made = trainer(out, *args, **changes)
    made._captured = made._turns
    return made


def state(t):
    """Everything that a step leaves, on the host."""
    found = {"g": t.generator.state_dict(), "d": t.discriminator.state_dict()}
    for name in ("opt_g", "opt_d"):
        found[name] = getattr(t, name).state_dict()
    if t.ema:
        found["ema"] = t.ema.module.state_dict() | {"count": t.ema.count}
    found["logits"] = dict(enumerate(x.numpy() for x in t._logits))
    found["grads"] = {p: x.grad.numpy() for p, x in t.generator.named_parameters()}
    found["rng"] = {n: repr(getattr(t, n).bit_generator.state) for n in ("noise", "snow")}
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for part, values in expected.items():
        assert found[part].keys() == values.keys()
        for name, value in values.items():
            np.testing.assert_array_equal(found[part][name], value, err_msg=f"{part}: {name}")


OPTIONS = {
    "gan": {},
    "dcgan": {"model": "dcgan"},
    "projection": {"model": "dcgan", "conditional": True},
    "concatenation": {"conditional": True, "condition": "concatenation"},
    "two turns": {"d_steps": 2},
    "lazy r1": {"penalty": "r1", "penalty_every": 4, "ema": 0.3},
    "lazy both, two turns": {"penalty": "r1+r2", "penalty_every": 3, "d_steps": 2, "norm": "spectral"},
    "falling rates": {"lr_decay": "linear", "lr_d": 1e-3, "ema": 0.999},
    "paired": {"model": "dcgan", "loss": "relativistic", "ema": 0.99, "latent": "uniform", "lr_decay": "cosine"},
    "toy": {"model": "toy", "data": "ring", "penalty_weight_last": None},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_recorded_steps_are_ordinary_ones_bit_for_bit(options, tmp_path):
    captured, plain = trainer(tmp_path / "captured", **options), ordinary(tmp_path / "plain", **options)
    held = []
    for step in range(13):
        for t in (captured, plain):
            t.done = step
        losses = captured.step()
        for found, expected in zip(losses, plain.step(), strict=True):
            assert found.item() == expected.item()
        held += [(x, x.numpy()) for x in (*losses, *captured._logits)]
        assert_same(state(captured), state(plain))
    assert not captured._notes
    assert any(kind.stage == 3 for kind in captured._captured._kinds.values())
    for tensor, value in held:  # what the user holds stays what it was
        np.testing.assert_array_equal(tensor.numpy(), value)


@pytest.mark.parametrize(("options", "inputs"), [({"ema": 0.9}, 2), ({"conditional": True, "d_steps": 2}, 6)])
def test_a_replay_copies_its_inputs_in_and_its_results_out_and_launches_once(options, inputs, tmp_path):
    t = trainer(tmp_path, **options)
    for t.done in range(4):
        t.step()
    kind = next(iter(t._captured._kinds.values()))
    noted, alive = len(kind.graph.noted), arrays_alive()
    for t.done in range(4, 9):
        launches, reads, copies = STRICT.launches, STRICT.host_reads, STRICT.host_copies
        t.step()
        assert STRICT.host_reads == reads
        assert STRICT.host_copies == copies + inputs
        assert STRICT.launches == launches + inputs + 1 + 4
    assert (len(kind.graph.noted), arrays_alive()) == (noted, alive)


def arrays_alive():
    gc.collect()
    return sum(type(o) is StrictArray for o in gc.get_objects())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"penalty": "wgan-gp", "loss": "wasserstein"}, r"values of shape \(8,\) were brought from the host"),
        ({"instance_noise": 0.2}, "values of shape .* were brought from the host"),
        ({"instance_noise": 0.2, "instance_noise_steps": 15}, "more than 8 kinds"),
        ({"penalty": "r1", "penalty_weight_last": 1e-3}, "more than 8 kinds"),
    ],
)
def test_what_the_host_draws_or_lets_fall_is_not_recorded_and_that_is_said_once(options, why, tmp_path, capsys):
    captured, plain = trainer(tmp_path / "captured", **options), ordinary(tmp_path / "plain", **options)
    captured.run()
    plain.run()
    assert_same(state(captured), state(plain))
    said = [line for line in capsys.readouterr().err.splitlines() if "not recorded" in line]
    assert len(said) == 1
    assert re.search(f"{tmp_path / 'captured'}: steps are not recorded.*: .*{why}", said[0])


def test_once_the_noise_is_gone_steps_are_recorded(tmp_path):
    captured = trainer(tmp_path / "captured", instance_noise=0.2, instance_noise_steps=3)
    plain = ordinary(tmp_path / "plain", instance_noise=0.2, instance_noise_steps=3)
    for step in range(9):
        captured.done = plain.done = step
        captured.step()
        plain.step()
        assert_same(state(captured), state(plain))
    assert any(kind.stage == 3 for kind in captured._captured._kinds.values())


def test_a_run_that_is_stopped_and_resumed_is_the_ordinary_one(tmp_path):
    """Resumed, it records anew: where the recorded steps begin makes no difference."""
    plain = ordinary(tmp_path / "plain", conditional=True, ema=0.99, d_steps=2)
    plain.run()
    stop(trainer(tmp_path / "parts", conditional=True, ema=0.99, d_steps=2), 8)
    resumed = Trainer.resume(tmp_path / "parts")
    resumed.run()
    assert_same(state(resumed), state(plain))
    assert resumed.metrics == plain.metrics
    for name in ("samples.png", "generator.safetensors", "metrics.jsonl"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


# -- whatever happens between steps --------------------------------------------------------------------------------------


class Players:
    """Two little networks with every kind of state, their optimisers and an average, and a step of them."""

    def __init__(self, seed, capture):
        rng = np.random.default_rng(seed)
        self.g = Sequential(Dense(2, 6, rng=rng), BatchNorm(6), LeakyReLU(0.2), Dense(6, 3, rng=rng))
        self.d = Sequential(
            SpectralNorm(Dense(3, 5, rng=rng), rng=rng), LeakyReLU(0.2), BatchNorm(5), Dense(5, 1, rng=rng)
        )
        self.opt_g = mg.optim.Adam(self.g.parameters(), 1e-2, (0.5, 0.99))
        self.opt_d = mg.optim.RMSProp(self.d.parameters(), 1e-3)
        self.ema, self.calls = EMA(self.g, 0.5), 0
        self.step = Captured(self.turns, self.g, self.d) if capture else self.forgetful

    def forgetful(self, *inputs, **fixed):
        for p in (*self.g.parameters(), *self.d.parameters()):
            p.grad = None
        return self.turns(*inputs, **fixed)

    def turns(self, real, z, weight):
        self.calls += 1
        losses = adversarial_step(
            self.g,
            self.d,
            self.opt_g,
            self.opt_d,
            real,
            z,
            lambda r, f: weight * LOSS.discriminator(r, f),
            LOSS.generator,
        )
        self.ema.update()
        return (*losses, self.g(z).detach())

    def state(self):
        found = {name: getattr(self, name).state_dict() for name in ("g", "d", "opt_g", "opt_d")}
        grads = {f"{s}.{k}": p.grad for s in "gd" for k, p in getattr(self, s).named_parameters()}
        found["grads"] = {k: None if g is None else g.numpy() for k, g in grads.items()}
        return found | {"ema": self.ema.module.state_dict() | {"count": self.ema.count}}


def numbers(shape, seed):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def reloaded(p, seed):
    kept = p.opt_g.state_dict()
    p.opt_g.load_state_dict(kept | {"m": 0.5 * kept["m"], "steps": [n + seed for n in kept["steps"]]})


def replaced(p, seed):
    p.g[3].weight.data = mg.tensor(numbers((3, 6), seed)).data


def rate(p, seed):
    p.opt_g.lr = 1e-3 * (1 + seed)


def quiet_rate(p, seed):
    p.opt_d.settings["lr"] = 1e-4 * (1 + seed)


def decays(p, seed):
    p.opt_g.settings["betas"] = (0.1 * seed, 0.9)
    p.opt_d.settings["weight_decay"] = 0.01 * seed


def averaged(p, seed):
    p.ema.load_state_dict({"count": 3 * seed, "module": p.g.state_dict()})


def faster_average(p, seed):
    p.ema.decay = 0.1 * seed


def another_layer(p, seed):
    p.d[1].negative_slope = 0.1 * seed


def evaluated(p, seed):
    p.g.eval()
    p.g(mg.tensor(numbers((4, 2), seed)))
    p.g.train(seed % 2 == 0)


def by_hand(p, seed):
    p.opt_g.zero_grad()
    (p.g(mg.tensor(numbers((4, 2), seed))) ** 2).sum().backward()
    p.opt_g.step()


EVENTS = {
    f.__name__: f
    for f in (
        reloaded, replaced, rate, quiet_rate, decays, averaged, faster_average, another_layer, evaluated, by_hand,
    )
}  # fmt: skip
EVENTS |= {
    "assigned": lambda p, seed: p.g[0].weight.assign_(numbers((6, 2), seed)),
    "loaded": lambda p, seed: p.d.load_state_dict({k: 0.9 * v for k, v in p.d.state_dict().items()} | WHOLE),
    "moved": lambda p, seed: (p.g.to("numpy"), p.g.to("strict")),
    "average moved": lambda p, seed: (p.ema.module.to("numpy"), p.ema.module.to("strict")),
    "zeroed": lambda p, seed: p.opt_d.zero_grad(),
    "frozen": lambda p, seed: setattr(p.g[0].weight, "requires_grad", seed % 2 == 0),
    "nothing": lambda p, seed: None,
}
WHOLE = {"2.num_batches_tracked": np.array(7)}


def compare(seed, script):
    """Events, each with a number, and then so many calls with a batch's size and a weight, beside ordinary calls."""
    captured, plain = Players(seed, True), Players(seed, False)
    held = []
    for event, number, calls, size, weight in script:
        for p in (captured, plain):
            EVENTS[event](p, number)
        for i in range(calls):
            inputs = [numbers((size, n), seed + 10 * i + n) for n in (3, 2)]
            found, expected = (p.step(*map(mg.tensor, inputs), weight=weight) for p in (captured, plain))
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a.numpy(), b.numpy())
            held += [(x, x.numpy()) for x in found]
            assert_same(captured.state(), plain.state())
    for tensor, value in held:
        np.testing.assert_array_equal(tensor.numpy(), value)


moments = st.tuples(
    st.sampled_from(sorted(EVENTS)),
    st.integers(0, 4),
    st.integers(1, 4),
    st.sampled_from([4, 4, 3]),
    st.sampled_from([1, 1, 2]),
)


@given(st.integers(0, 99), st.lists(moments, min_size=1, max_size=4))
def test_whatever_happens_between_steps_replays_are_ordinary_calls(seed, script):
    compare(seed, script)


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_at_every_stage(event):
    """Before the call that is recorded, before the one after that, and between replays."""
    compare(0, [("nothing", 0, 2, 4, 1), (event, 1, 1, 4, 1), (event, 2, 3, 4, 1), (event, 3, 1, 4, 1)])
    compare(1, [("nothing", 0, 4, 4, 1), (event, 1, 2, 4, 1), (event, 2, 2, 4, 1)])


def test_the_host_does_its_share_three_times():
    p = Players(0, True)
    for i in range(8):
        p.opt_g.lr = 1e-2 / (i + 1)  # which needs no new recording
        p.step(mg.tensor(numbers((4, 3), i)), mg.tensor(numbers((4, 2), i)), weight=1.0)
    assert p.calls == 3


@pytest.mark.parametrize("part", ["a weight", "a running mean", "an average", "a gradient"])
def test_a_graph_that_saved_values_sees_a_replay_change_them(part):
    p = Players(0, True)
    given = [mg.tensor(numbers((4, n), n)) for n in (3, 2)]
    for _ in range(4):
        p.step(*given, weight=1.0)
    x = mg.tensor(numbers((4, 2), 0), requires_grad=True)
    hidden = mg.tensor(numbers((4, 6), 0), requires_grad=True)
    y = {
        "a weight": lambda: p.g(x),
        "a running mean": lambda: mg.ops.batch_norm_eval(hidden, p.g[1].running_mean, p.g[1].running_var),
        "an average": lambda: p.ema.module(x),
        "a gradient": lambda: x * p.g[3].bias.grad[:2],
    }[part]().sum()
    p.step(*given, weight=1.0)
    with pytest.raises(InPlaceChange, match=r"(a recorded step on|EMA).*test_captured"):
        y.backward()


def test_a_rate_that_is_set_inside_of_the_step_is_refused():
    p = Players(0, True)

    def step(*inputs):
        p.opt_g.lr *= 0.5
        return p.turns(*inputs, weight=1.0)

    captured = Captured(step, p.g, p.d)
    for i in range(5):
        with pytest.warns(RuntimeWarning, match="the learning rate was set inside") if i == 2 else nullcontext():
            captured(mg.tensor(numbers((4, 3), i)), mg.tensor(numbers((4, 2), i)))
    assert p.calls == 6  # the one that was being recorded is made again


def step_of(layers, loss):
    net = Sequential(Dense(3, 4, bias=False, rng=0), *layers)
    opt = mg.optim.SGD(net.parameters(), 0.1)

    def step(x):
        value = loss(net(x))
        value.backward()
        opt.step()
        return (value,)

    return net, step


MISUSES = {
    "dropout": (
        [Dropout(0.5, rng=0)],
        lambda y: (y * y).mean(),
        r"values of shape \(2, 4\) were brought from the host",
    ),
    "a loss that is read": (
        [],
        lambda y: (y * y).mean() * (y * y).mean().item(),
        r"the host read values of shape \(\)",
    ),
    "a choice by values": (
        [],
        lambda y: (y * (2.0 if y.sum().item() > 0 else 1.0)).mean(),
        r"the host read values of shape \(\)",
    ),
}


@pytest.mark.parametrize(("layers", "loss", "why"), MISUSES.values(), ids=MISUSES)
def test_a_step_that_cannot_be_recorded_goes_on_as_it_is_and_says_so_once(layers, loss, why):
    def losses(capture):
        net, step = step_of(layers, loss)
        for layer in layers:
            layer.rng = np.random.default_rng(0)
        made = Captured(step, net) if capture else lambda x: (net[0].weight.__setattr__("grad", None), *step(x))[1:]
        return [made(mg.tensor(numbers((2, 3), i)))[0].item() for i in range(5)]

    with pytest.warns(RuntimeWarning, match=f"not recorded.*{why}") as seen:
        found = losses(capture=True)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    assert found == losses(capture=False)


def test_a_step_that_raises_while_it_is_recorded_can_be_called_again():
    p, twin = Players(0, True), Players(0, False)
    given = [numbers((4, n), n) for n in (3, 2)]
    update = EMA.update
    for i in range(7):
        if i == 2:  # the call that is recorded
            p.ema.update = lambda: 1 / 0
            with pytest.raises(ZeroDivisionError):
                p.step(*map(mg.tensor, given), weight=1.0)
            p.ema.update = lambda: update(p.ema)
            assert_same(
                {k: v for k, v in p.state().items() if k != "grads"},
                {k: v for k, v in twin.state().items() if k != "grads"},
            )
        p.step(*map(mg.tensor, given), weight=1.0)
        twin.step(*map(mg.tensor, given), weight=1.0)
        assert_same(p.state(), twin.state())


def test_an_argument_that_requires_a_gradient_gets_it():
    net, step = step_of([], lambda y: (y * y).mean())
    captured, x = Captured(step, net), mg.tensor(numbers((2, 3), 0), requires_grad=True)
    for i in range(5):
        x.grad = None
        with pytest.warns(RuntimeWarning, match="an argument requires a gradient") if i == 0 else nullcontext():
            captured(x)
        assert x.grad is not None


@pytest.mark.parametrize("where", ["numpy", "strict"])
def test_gradients_do_not_pile_up_over_calls(where):
    """A step without zero_grad(): each call begins without gradients, recorded or not."""
    with mg.backend(where):
        net, step = step_of([], lambda y: (y * y).mean())
        captured, x, grads = Captured(step, net), mg.tensor(numbers((2, 3), 0)), []
        for _ in range(6):
            net[0].weight.assign_(1.0)
            captured(x)
            grads.append(net[0].weight.grad.numpy().tolist())
    assert all(grad == grads[0] for grad in grads)


def test_on_the_host_every_call_is_an_ordinary_one():
    with mg.backend("numpy"):
        p = Players(0, True)
        for i in range(5):
            p.step(mg.tensor(numbers((4, 3), i)), mg.tensor(numbers((4, 2), i)), weight=1.0)
        assert p.calls == 5
        assert not p.step._kinds
