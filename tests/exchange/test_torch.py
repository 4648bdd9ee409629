"""Modules and their weights go from minigan to PyTorch and back, and compute the same in both; where PyTorch is installed."""

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from ops.cases import CASES, epsilons, normalisable
from sentences import computed, double
from support import anywhere, assert_close, rngs

import minigan as mg
from minigan.errors import ShapeError

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # two pools of threads on the same cores would wait for each other

import safetensors.torch  # noqa: E402 - they need PyTorch
from peers import NETWORKS, randomise  # noqa: E402

data = st.data()
few_examples = settings(max_examples=5)  # of whole networks

# -- a layer in both libraries, and an input, drawn with its geometry ------------------------------------------------


@st.composite
def dense(draw):
    call = draw(CASES["linear"])
    outputs, inputs = call.inputs["weight"].shape
    arguments = inputs, outputs, "bias" in call.inputs
    return mg.nn.Dense(*arguments), torch.nn.Linear(*arguments), call.inputs["x"]


@st.composite
def conv2d(draw):
    call = draw(CASES["conv2d"])
    x, (outputs, _, *kernel) = call.inputs["x"], call.inputs["weight"].shape
    arguments = call.attributes | {"kernel_size": tuple(kernel), "bias": "bias" in call.inputs}
    return mg.nn.Conv2d(x.shape[1], outputs, **arguments), torch.nn.Conv2d(x.shape[1], outputs, **arguments), x


@st.composite
def conv_transpose2d(draw):
    call = draw(CASES["conv_transpose2d"])
    x, (inputs, outputs, *kernel) = call.inputs["x"], call.inputs["weight"].shape
    channels = inputs, outputs * call.attributes["groups"]
    arguments = call.attributes | {"kernel_size": tuple(kernel), "bias": "bias" in call.inputs}
    return mg.nn.ConvTranspose2d(*channels, **arguments), torch.nn.ConvTranspose2d(*channels, **arguments), x


@st.composite
def batch_norm(draw):
    _, x = draw(normalisable())
    arguments = {"eps": draw(epsilons), "momentum": draw(st.sampled_from([0.1, 0.5, 1.0]))}
    peer = torch.nn.BatchNorm1d if x.ndim == 2 else torch.nn.BatchNorm2d
    return mg.nn.BatchNorm(x.shape[1], **arguments), peer(x.shape[1], **arguments), x


@st.composite
def layer_norm(draw):
    call = draw(CASES["standardize"])
    x, eps = call.inputs["x"], call.attributes["eps"]
    shape = x.shape[x.ndim - call.attributes["ndim"] :]
    arguments = shape[0] if len(shape) == 1 else shape, eps, draw(st.booleans()), draw(st.booleans())
    return mg.nn.LayerNorm(*arguments), torch.nn.LayerNorm(*arguments), x


@st.composite
def embedding(draw):
    rng, sizes = draw(rngs), (draw(st.integers(1, 4)), draw(st.integers(1, 3)))
    index = rng.integers(0, sizes[0], draw(st.lists(st.integers(1, 3), max_size=2)))
    return mg.nn.Embedding(*sizes), torch.nn.Embedding(*sizes), np.asarray(index)


LAYERS = {
    "Dense": dense(),
    "Conv2d": conv2d(),
    "ConvTranspose2d": conv_transpose2d(),
    "BatchNorm": batch_norm(),
    "LayerNorm": layer_norm(),
    "Embedding": embedding(),
}


@st.composite
def network(draw, name):
    make, sample = NETWORKS[name]
    width, n = draw(st.integers(1, 3)), draw(st.integers(2, 3))
    return getattr(mg.gan.models, name)(width=width), make(width), anywhere(draw(rngs), (n, *sample))


MODULES = LAYERS | {name: network(name) for name in NETWORKS}

# -- weights ---------------------------------------------------------------------------------------------------------


def arrays(state):
    return {key: np.asarray(t) for key, t in state.items()}


def assert_same(actual, expected):
    """The same keys in the same order, shapes, dtypes and bits."""
    actual, expected = arrays(actual), arrays(expected)
    assert list(actual) == list(expected)
    for key, value in actual.items():
        assert (value.dtype, value.shape) == (expected[key].dtype, expected[key].shape), key
        np.testing.assert_array_equal(value, expected[key], err_msg=key)


def of_dtype(dtype, mine, peer):
    return (double(mine), peer.double()) if dtype == "float64" else (mine, peer)


dtypes = st.sampled_from(["float32", "float64"])


@pytest.mark.parametrize("name", MODULES)
@settings(max_examples=10)
@given(data, dtypes, rngs)
def test_weights_load_both_ways(name, data, dtype, rng):
    mine, peer, _ = data.draw(MODULES[name])
    mine, peer = of_dtype(dtype, mine, peer)
    own = mine.state_dict()
    peer.load_state_dict({key: torch.from_numpy(a) for key, a in own.items()}, strict=True)
    assert_same(peer.state_dict(), own)
    randomise(peer, rng)
    mine.load_state_dict(peer.state_dict())
    assert_same(mine.state_dict(), peer.state_dict())


@pytest.mark.parametrize("name", MODULES)
@settings(max_examples=5)
@given(data=data, dtype=dtypes, rng=rngs)
def test_files_are_read_by_both(name, data, dtype, rng, tmp_path_factory):
    """safetensors as PyTorch writes it and NumPy reads it, and the reverse."""
    mine, peer, _ = data.draw(MODULES[name])
    mine, peer = of_dtype(dtype, mine, peer)
    folder = tmp_path_factory.mktemp("files")
    safetensors.numpy.save_file(mine.state_dict(), folder / "ours")
    peer.load_state_dict(safetensors.torch.load_file(folder / "ours"), strict=True)
    assert_same(peer.state_dict(), mine.state_dict())
    randomise(peer, rng)
    safetensors.torch.save_file(peer.state_dict(), folder / "theirs")
    mine.load_state_dict(safetensors.numpy.load_file(folder / "theirs"))
    assert_same(mine.state_dict(), peer.state_dict())


@settings(few_examples)
@given(data, rngs)
def test_faults_in_a_state_are_all_named_and_nothing_changes(data, rng):
    mine, peer, _ = data.draw(MODULES["dcgan28_discriminator"])
    before, state = mine.state_dict(), randomise(peer, rng).state_dict()
    keys = data.draw(st.permutations(list(state)))
    missing, misshapen = keys[: data.draw(st.integers(0, 2))], keys[2 : 3 + data.draw(st.integers(0, 2))]
    for key in missing:
        del state[key]
    for key in misshapen:
        state[key] = torch.zeros(*state[key].shape, 2)
    state["9.weight"] = torch.zeros(3)
    with pytest.raises(ShapeError) as caught:
        mine.load_state_dict(state)
    message = str(caught.value)
    for part in ["9.weight is unknown", *(f"{k} is missing" for k in missing), *(f"{k} has shape" for k in misshapen)]:
        assert part in message
    assert message.count(";") == 1 + len(missing) + len(misshapen)  # between faults, and before "nothing was changed"
    assert_same(mine.state_dict(), before)


# -- what they compute -----------------------------------------------------------------------------------------------

# float64 in both; sums of at most some thousand terms through at most four batch norms, differentiated twice
BOUND = 1e-10


def twins(drawn, rng):
    """The drawn modules in float64 with the same weights, and the input."""
    mine, peer, x = drawn
    peer = randomise(peer.double(), rng)
    return double(mine).load_state_dict(peer.state_dict()), peer, x


def assert_agree(ours, theirs):
    """The same names and values; what one library leaves out, because nothing arrives there, the other has as zeros."""
    ours, theirs = ({key: t.numpy() for key, t in ours}, {key: t.numpy(force=True) for key, t in theirs})
    for key in ours.keys() & theirs.keys():
        assert_close(ours[key], theirs[key], BOUND)
    for key in ours.keys() ^ theirs.keys():
        assert not (ours | theirs)[key].any(), key


def leaf(make, array):
    return make(array, requires_grad=array.dtype.kind == "f")


@pytest.mark.parametrize("name", LAYERS)
@given(data, rngs, st.booleans())
def test_layers_compute_the_same(name, data, rng, training):
    """Values, all gradients, and the gradients of a penalty on those."""
    compare(*twins(data.draw(LAYERS[name]), rng), rng, training)


@pytest.mark.parametrize("name", NETWORKS)
@few_examples
@given(data, rngs, st.booleans())
def test_networks_compute_the_same(name, data, rng, training):
    compare(*twins(data.draw(network(name)), rng), rng, training)


def compare(mine, peer, x, rng, training):
    dy = anywhere(rng, mine.eval()(mg.tensor(x)).shape)  # evaluation leaves the running statistics alone
    ours = computed(mg.grad, mine.train(training), leaf(mg.tensor, x), leaf(mg.tensor, dy))
    theirs = computed(torch.autograd.grad, peer.train(training), leaf(torch.tensor, x), leaf(torch.tensor, dy))
    assert_agree(ours, theirs)


@pytest.mark.parametrize("name", ["dcgan28_discriminator", "dcgan64_discriminator"])
@few_examples
@given(data, rngs)
def test_the_gradient_penalty_of_a_critic(name, data, rng):
    """Of WGAN-GP (Gulrajani et al. 2017): mean (|dD/dx| - 1)^2, by the critic's weights."""
    mine, peer, x = twins(data.draw(network(name)), rng)

    def penalty(grad, critic, x):
        (dx,) = grad(critic(x).sum(), [x], create_graph=True)
        norm = (dx * dx).reshape(len(x), -1).sum(axis=1).sqrt()
        parameters = dict(critic.named_parameters())
        grads = grad(((norm - 1) ** 2).mean(), [*parameters.values()], allow_unused=True)
        return ((key, g) for key, g in zip(parameters, grads, strict=True) if g is not None)

    ours = penalty(mg.grad, mine, leaf(mg.tensor, x))
    assert_agree(ours, penalty(torch.autograd.grad, peer, leaf(torch.tensor, x)))


# -- training --------------------------------------------------------------------------------------------------------

OPTIMIZERS = {
    "Adam": (torch.optim.Adam, {"betas": st.sampled_from([(0.5, 0.999), (0.0, 0.9)]), "eps": st.just(1e-3)}),
    "SGD": (torch.optim.SGD, {"momentum": st.sampled_from([0.5, 0.9])}),
    "RMSProp": (torch.optim.RMSprop, {"alpha": st.sampled_from([0.5, 0.9]), "eps": st.just(1e-3)}),
}
COMMON = {"lr": st.sampled_from([0.0, 0.01, 0.1]), "weight_decay": st.sampled_from([0.01, 0.1])}


@pytest.mark.parametrize("name", OPTIMIZERS)
@given(st.data(), rngs, st.lists(st.lists(st.booleans(), min_size=2, max_size=2), min_size=1, max_size=6))
def test_optimisers_take_the_same_steps(name, data, rng, arrivals):
    """From the same gradients, which do not all arrive every time; settings that are not given have the same defaults."""
    theirs, own = OPTIMIZERS[name]
    chosen = data.draw(st.fixed_dictionaries({}, optional=own | COMMON))
    starts = [anywhere(rng, (3, 2)), anywhere(rng, (2,))]
    mine = [mg.tensor(a, requires_grad=True) for a in starts]
    peers = [torch.tensor(a, requires_grad=True) for a in starts]
    optimizers = getattr(mg.optim, name)(mine, **chosen), theirs(peers, **chosen)
    for arrives in arrivals:
        for p, peer, here in zip(mine, peers, arrives, strict=True):
            g = anywhere(rng, p.shape)
            p.grad, peer.grad = (mg.tensor(g), torch.tensor(g)) if here else (None, None)
        for optimizer in optimizers:
            optimizer.step()
    for p, peer in zip(mine, peers, strict=True):
        # some dozen roundings a step; a small second moment, of at least 1e-8 with eps, divides them
        assert_close(p.numpy(), peer.numpy(force=True), BOUND)


@pytest.mark.parametrize("name", ["BatchNorm", *NETWORKS])
@few_examples
@given(data, rngs)
def test_states_after_some_steps_of_training(name, data, rng):
    """Weights and running statistics move together; then evaluation gives the same."""
    mine, peer, x = twins(data.draw(MODULES[name]), rng)
    optimizers = mg.optim.SGD(mine.parameters(), 0.01, 0.9), torch.optim.SGD(peer.parameters(), 0.01, 0.9)
    for _ in range(3):
        x = rng.permutation(x.ravel()).reshape(x.shape)
        for module, make, optimizer in ((mine, mg.tensor, optimizers[0]), (peer, torch.tensor, optimizers[1])):
            optimizer.zero_grad()
            (module(make(x)) ** 2).mean().backward()
            optimizer.step()
    ours, theirs = arrays(mine.state_dict()), arrays(peer.state_dict())
    assert list(ours) == list(theirs)
    for key, value in ours.items():
        assert_close(value, theirs[key], BOUND if value.dtype.kind == "f" else 0)
    assert_close(mine.eval()(mg.tensor(x)).numpy(), peer.eval()(torch.tensor(x)).numpy(force=True), BOUND)
