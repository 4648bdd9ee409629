"""minigan's side of a bench: its own models, losses and steps, recorded as training records them. Runs in `worker`."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np

import minigan as mg
from minigan import backends
from minigan.bench.networks import Network, players
from minigan.bench.timers import Timers

REPLAYED = 4  # the first call of a recorded step that only launches it again


class Side:
    """A network of minigan and its step."""

    def __init__(self, job: dict[str, Any]) -> None:
        backends.set_threads(job["threads"])
        mg.set_backend(job["backend"])
        self.xp = cast(Any, backends.current())
        if job["backend"] == "cupy":
            self.xp.precision = job["precision"]
        self.job = job
        self.turn = self.taken = getattr(self, job["step"])
        self.inputs: tuple[mg.Tensor, ...] = ()
        if job["step"] == "chain":
            self.x = mg.tensor(np.full((4, 4), 0.5, "float32"), requires_grad=True)
            return
        stored = np.load(job["numbers"])
        self.g, self.d = players(Network(**job["network"]))
        for side, player in (("g.", self.g), ("d.", self.d)):
            player.load_state_dict({k[2:]: stored[k] for k in stored.files if k.startswith(side)})
        names = ("real", "z", "epsilon") if job["step"] == "critic" else ("real", "z")
        self.inputs = tuple(mg.tensor(stored[name]) for name in names)
        self.optimizers: dict[str, mg.optim.Adam] = {}
        if self.xp.can_record:
            self.taken = mg.gan.Captured(self.turn, self.g, self.d)

    def step(self) -> Any:
        """The job's step; from the fourth call on launched as a whole, where the backend records."""
        return self.taken(*self.inputs)

    def optimizer(self, side: str) -> mg.optim.Adam:
        """The optimiser of G or D, made when its player first learns."""
        if side not in self.optimizers:
            settings = {"lr": self.job["lr"], "betas": tuple(self.job["betas"])}
            self.optimizers[side] = mg.optim.Adam(getattr(self, side).parameters(), **settings)
        return self.optimizers[side]

    def facts(self) -> dict[str, Any]:
        """What the report says of this side."""
        return {"kernels": self.xp.kernels if self.xp.name == "numpy" else self.xp.name}

    def chain(self) -> Any:
        """Many small ops, forward and backward."""
        y = self.x
        for _ in range(self.job["chain"]):
            y = mg.ops.tanh(y)
        self.x.grad = None
        loss = y.sum()
        loss.backward()
        return (loss,)

    def adversarial(self, real: mg.Tensor, z: mg.Tensor) -> Any:
        """D's turn, then G's."""
        optimizers, losses = (self.optimizer("g"), self.optimizer("d")), mg.gan.losses
        return mg.gan.adversarial_step(
            self.g, self.d, *optimizers, real, z, losses.discriminator, losses.non_saturating
        )

    def critic(self, real: mg.Tensor, z: mg.Tensor, epsilon: mg.Tensor) -> Any:
        """One step of the critic, with the penalty of Gulrajani et al. (2017)."""
        with mg.no_grad():
            fake = self.g(z)
        self.optimizer("d").zero_grad()
        penalty = mg.gan.gradient_penalty(self.d, real, fake, epsilon=epsilon)
        loss = self.d(fake).mean() - self.d(real).mean() + self.job["lambda"] * penalty
        loss.backward()
        self.optimizer("d").step()
        return loss, penalty

    def finish(self) -> None:
        """Wait until everything is computed."""
        if self.xp.name == "cupy":
            self.xp.cuda.runtime.deviceSynchronize()  # a recorded step has a stream of its own

    def rehearse(self, samples: int) -> None:
        """One step on a few samples, of which nothing is left but what the libraries loaded."""
        given = self.inputs
        self.inputs = tuple(a[:samples] for a in given)
        self.step()
        self.inputs = given
        for side in list(self.optimizers):
            optimizer = self.optimizers.pop(side)
            optimizer.zero_grad()
            for p in optimizer.params:  # no longer a view of the optimiser's buffer
                p.data = p.data.copy(order="K")
            del optimizer
        backends.free_memory()

    def check(self, path: str) -> list[float]:
        """The losses of a step that moves nothing, a recorded one if there is one; every gradient goes to `path`."""
        if self.job["step"] == "chain":
            losses = self.step()
            assert self.x.grad is not None
            np.savez(path, x=self.x.grad.numpy())
            return [loss.item() for loss in losses]
        optimizers = [self.optimizer(side) for side in "gd"]
        for optimizer in optimizers:
            optimizer.settings["lr"] = 0.0  # Adam's first step would turn rounding into signs
        for _ in range(REPLAYED if self.xp.can_record else 1):
            losses = self.step()
        for optimizer in optimizers:
            optimizer.settings["lr"] = self.job["lr"]
        named = [(f"{side}.{k}", p.grad) for side in "gd" for k, p in getattr(self, side).named_parameters()]
        np.savez(path, **{k: grad.numpy() for k, grad in named if grad is not None})
        return [loss.item() for loss in losses]

    def profile(self, steps: int) -> dict[str, Any]:
        """Where `steps` steps go, op by op, none of them recorded; the timers stay: this process measures nothing else later."""
        timers = Timers(self.finish)
        timers.watch(self.xp, [] if self.job["step"] == "chain" else [self.optimizer(side) for side in "gd"])
        return timers.profile(partial(self.turn, *self.inputs), steps)
