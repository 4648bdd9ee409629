"""Layers that lose their state, share it, or keep it to one backend."""

import numpy as np
from badly_behaved import RunningMean, Scale

import minigan as mg
from minigan import nn
from minigan.backends import random


class SharedByClass(nn.Module):
    count = nn.Buffer([0.0])

    def forward(self, x):
        if self.training:
            self.count.assign_(self.count.numpy() + 1)
        return x * (1 + mg.tensor(self.count))


class SharedArray(nn.Module):
    mean = np.zeros(3, "float32")

    def forward(self, x):
        y = x - mg.tensor(self.mean.astype(str(x.dtype)))
        if self.training:
            self.mean += 0.1 * x.numpy().mean(axis=0)
        return y


class Inherits(nn.Module):
    """Leaves to new layers what this one has seen."""

    start = (0.0, 0.0, 0.0)

    def __init__(self):
        self.mean = nn.Buffer(self.start)

    def forward(self, x):
        if self.training:
            type(self).start = tuple(map(float, self.mean.numpy() + x.numpy().mean(axis=0)))
        return x - mg.tensor(self.mean)


class SharedByDefault(nn.Module):
    def __init__(self, weight=nn.Parameter([1.0, 1.0, 1.0])):  # noqa: B008
        self.weight = weight

    def forward(self, x):
        return x * self.weight


class HostMean(nn.Module):
    """State in an array, which no state dict holds."""

    def __init__(self):
        self.mean = np.zeros(3, "float32")

    def forward(self, x):
        y = x - mg.tensor(self.mean.astype(str(x.dtype)))
        if self.training:
            self.mean = (0.9 * self.mean + 0.1 * x.numpy().mean(axis=0)).astype("float32")
        return y


class ListOfParameters(nn.Module):
    def __init__(self):
        self.weights = [nn.Parameter([1.0, 2.0, 3.0])]

    def forward(self, x):
        return x * self.weights[0]


class Projection(nn.Module):
    def __init__(self):
        self.matrix = mg.tensor(random.normal((3, 2)))

    def forward(self, x):
        return x @ self.matrix


class Caches(Scale):
    """Makes its state dict once."""

    def state_dict(self):
        self.made = getattr(self, "made", None) or super().state_dict()
        return self.made


class Views(RunningMean):
    """Where memory is the host's, a state dict that follows the layer."""

    def state_dict(self):
        return {name: t.numpy() for name, t in self.named_state()}


class Aliases(Scale):
    """Where memory is the host's, a layer that takes the state dict's."""

    def load_state_dict(self, state, strict=True):
        super().load_state_dict(state, strict)
        self.weight = nn.Parameter(state["weight"], copy=False)
        return self


class KeepsTensors(Scale):
    def state_dict(self):
        return dict(self.named_state())


class TakesMissing(Scale):
    def load_state_dict(self, state, strict=True):
        return super().load_state_dict({**self.state_dict(), **state})


class TakesShapes(Scale):
    def load_state_dict(self, state, strict=True):
        return super().load_state_dict({k: np.resize(a, (3,)) if k == "weight" else a for k, a in state.items()})


class OneMode(nn.Module):
    """What one mode computes depends on an array that is drawn, and that no state dict holds."""

    def __init__(self, mode):
        self.mode, self.factor = mode, random.normal((3,))

    def forward(self, x):
        return x * mg.tensor(self.factor.astype(str(x.dtype))) if self.training is self.mode else x


class LoadsNothing(Scale):
    def load_state_dict(self, state, strict=True):
        return self


class Lenient(Scale):
    def load_state_dict(self, state, strict=False):
        return super().load_state_dict(state, strict=False)


class Hasty(Scale):
    """Writes what fits before it looks for what does not."""

    def load_state_dict(self, state, strict=True):
        super().load_state_dict({k: a for k, a in state.items() if np.shape(a) == (3,)}, strict=False)
        return super().load_state_dict(state, strict)


class Rebinds(Scale):
    def load_state_dict(self, state, strict=True):
        super().load_state_dict(state, strict)
        self.weight = nn.Parameter(state["weight"])
        return self


class Forgets(RunningMean):
    def state_dict(self):
        return {}


class StaysBehind(Scale):
    def to(self, backend):
        return self


class NewObjects(Scale):
    def to(self, backend):
        self.weight = nn.Parameter(self.weight.detach().to(backend))
        return self


class OnOneBackend(nn.Module):
    def __init__(self):
        with mg.backend("numpy"):
            self.factor = mg.tensor([2.0])

    def forward(self, x):
        return x * self.factor
