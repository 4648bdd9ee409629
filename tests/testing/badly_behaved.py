"""Layers, ops and functions with one bug each, of the kinds that people make, and what tests need to plant them."""

import numpy as np

import minigan as mg
from minigan import nn
from minigan.backends import random


def normal(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


X, IMAGES = normal(4, 3), normal(3, 2, 5, 5)


def fingerprint(f, *xs):
    """All that a check could change."""
    marks = [x.tobytes() for x in xs]
    marks += [random.generator(), str(random.generator().bit_generator.state), mg.tensor(0.0).backend]
    for module in f.modules() if isinstance(f, nn.Module) else ():
        marks += [(k, id(v)) for k, v in vars(module).items()]
        marks += [str(v.bit_generator.state) for v in vars(module).values() if isinstance(v, np.random.Generator)]
    for key, t in f.named_state() if isinstance(f, nn.Module) else ():
        marks.append((key, id(t), t.numpy().tobytes(), t.dtype, t.backend, id(t.grad), t.requires_grad))
    return marks


# -- one bug each -----------------------------------------------------------------------------------------------------


def broken(forward, gradient=lambda F, dy: dy):
    """An op of one input, from a kernel and a rule."""

    def kernel(xp, x):
        return forward(xp, x)

    kernel.__name__ = kernel.__qualname__ = "broken"
    op = mg.op(kernel)
    op.gradient("x", formula="?")(gradient)
    return op


class Counting(nn.Module):
    """Base of layers whose bug is what they remember."""

    def __init__(self):
        self.calls = 0


class Shrinks(Counting):
    def forward(self, x):
        self.calls += 1
        return x[:, : 3 - self.calls // 2]


class Drifts(Counting):
    def forward(self, x):
        self.calls += 1
        return x * float(self.calls)


class RunningMean(nn.Module):
    """Subtracts a running mean, which a bug in `move` moves wrongly."""

    def __init__(self):
        self.mean = nn.Buffer([0.0, 0.0, 0.0])

    def forward(self, x):
        y = x - mg.tensor(self.mean)
        if self.training:
            self.move(x.detach())
        return y

    def move(self, x):
        self.mean.assign_(0.9 * self.mean + 0.1 * x.mean(axis=0))


class Float64State(RunningMean):
    def move(self, x):
        self.mean = nn.Buffer(0.9 * self.mean.numpy() + 0.1 * x.numpy().mean(axis=0, dtype="float64"))


class MovesInEvaluation(RunningMean):
    def forward(self, x):
        self.move(x.detach())
        return x - mg.tensor(self.mean)


class Scale(nn.Module):
    def __init__(self, dtype="float32"):
        self.weight = nn.Parameter(np.ones(3, dtype))

    def forward(self, x):
        return x * self.weight


class Clips(Scale):
    def forward(self, x):
        self.weight.assign_(mg.ops.clip(self.weight.detach(), min=-0.5, max=0.5))
        return x * self.weight


class NoisyMean(nn.Module):
    def forward(self, x):
        return mg.ops.dropout(x) * x.mean()


class PlaceMatters(nn.Module):
    def forward(self, x):
        return x * mg.tensor(np.arange(1.0, len(x.numpy()) + 1, dtype=str(x.dtype)).reshape(-1, 1))


class Hidden(nn.Module):
    """Keeps a submodule where no module looks."""

    def __init__(self):
        self.parts = [nn.Dropout(0.5)]

    def forward(self, x):
        return self.parts[0](x)


class Stubborn(nn.Module):
    """Has modes, and does not hand them down."""

    def __init__(self):
        self.inner = nn.Dropout(0.5)

    def train(self, mode=True):
        self.training = mode
        return self

    def forward(self, x):
        return self.inner(x)


class Folds(Scale):
    """Prepares its weight for evaluation, for good."""

    def train(self, mode=True):
        if not mode:
            self.weight.assign_(self.weight.numpy() / 2)
        return super().train(mode)


class NoWayBack(Scale):
    used = False

    def forward(self, x):
        self.used = self.used or not self.training
        return x * 2.0 if self.used else x * self.weight


class LosesItsBuffer(RunningMean):
    def forward(self, x):
        if not self.training:
            self.mean = mg.tensor(self.mean)
        return super().forward(x)


class BatchStatistics(nn.Module):
    def forward(self, x):
        return x - x.mean(axis=0)


class AlwaysNoisy(nn.Module):
    def forward(self, x):
        return mg.ops.dropout(x)


def noise(x):
    """From NumPy's global generator."""
    return mg.tensor(np.random.normal(size=x.shape).astype(str(x.dtype)))


class NumPysNoise(nn.Module):
    def forward(self, x):
        return x + noise(x)


def in_place(xp, x):
    x *= 2
    return x + 0


def in_place_rectified(xp, x):
    x[x < 0] = 0
    return x + 0


def between_elements(xp, x):
    if x.base is not None:
        x.base[0, 0] = 0
    return x + 0


def writes_to_dy(F, dy):
    dy *= 2
    return dy


def writes_to_x(F, dy, x):
    x *= 1.5
    return dy


def one_pass_variance(x):
    return (x * x).mean(axis=1) - x.mean(axis=1) ** 2


@mg.op
def averaging(xp, x, weight):
    return x * weight


averaging.gradient("x", formula="?")(lambda F, dy, weight: dy * weight)
averaging.gradient("weight", formula="?")(lambda F, dy, x: F.mean(dy * x, axis=0))


class Averages(Scale):
    """Takes the mean over the batch for its weight's gradient, where the sum belongs."""

    def forward(self, x):
        return averaging(x, self.weight)


def only_for_empty(x):
    return x if x.shape[0] else mg.tensor(np.zeros((1, 3), str(x.dtype)))


class Remembers:
    """A function with a memory outside of itself."""

    def __init__(self, result=lambda x, n: x * float(n)):
        self.seen, self.result = 0, result

    def __call__(self, x):
        self.seen += 1
        return self.result(x, self.seen)


class DriftsInItsBuffer(nn.Module):
    def __init__(self):
        self.count = nn.Buffer([0.0])

    def forward(self, x):
        self.count.assign_(self.count.numpy() + 1)
        return x * mg.tensor(self.count)


centred_gradient = broken(lambda xp, x: x + 0, lambda F, dy: dy - F.mean(dy, axis=0))


def shouts(x):
    """Right for one sample only."""
    return x - x.mean(axis=0) / 2
