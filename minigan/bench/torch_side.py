"""PyTorch's side of a bench: the same networks and steps. Runs in `worker`, without minigan."""

from __future__ import annotations

import time
import warnings
from importlib import import_module
from typing import Any

import numpy as np

WARM_UP = 3  # steps before one is captured: libraries choose their algorithms, and Adam makes its state


class Side:
    """A network of PyTorch and its step: D frozen in G's turn; the job's `variant` names Adam's form, memory format and way."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.torch = torch = import_module("torch")  # by name: type checkers need not have it
        torch.set_num_threads(job["threads"])
        self.device = "cuda" if job["backend"] == "cupy" else "cpu"
        if self.device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError(f"this PyTorch, {torch.__version__}, has no GPU to compare with")
        # by itself PyTorch would take TF32 for convolutions and not for products
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = job["precision"] == "tf32"
        torch.backends.cudnn.benchmark = True  # the fastest algorithm by trial
        self.job = job
        self.step = self.eager = getattr(self, job["step"])
        if job["step"] == "chain":
            self.x = torch.full((4, 4), 0.5, requires_grad=True, device=self.device)
            return
        self.adam, self.layout, self.way = job["variant"]
        self.graph: Any = None
        self.step = {"eager": self.eager, "graph": self.replay}.get(self.way, self.compiled)
        stored = np.load(job["numbers"])
        self.g, self.d = (self.player(side, stored) for side in "gd")
        self.real, self.z, self.epsilon = (self.tensor(stored[name]) for name in ("real", "z", "epsilon"))
        if self.layout == "channels_last":
            self.real = self.real.to(memory_format=torch.channels_last)
        self.targets = [torch.full((len(self.real), 1), value, device=self.device) for value in (0.9, 0.0, 1.0)]
        self.optimizers: dict[str, Any] = {}

    def tensor(self, array: Any) -> Any:
        return self.torch.from_numpy(array).to(self.device)

    def player(self, side: str, stored: Any) -> Any:
        """G or D, from its layers and its weights."""
        nn = self.torch.nn
        module = nn.Sequential(*(getattr(nn, name)(**settings) for name, settings in self.job["layers"][side]))
        weights = {k[2:]: self.torch.from_numpy(stored[k]) for k in stored.files if k.startswith(f"{side}.")}
        module.load_state_dict(weights)
        module.to(self.device)
        if self.layout == "channels_last":
            module.to(memory_format=self.torch.channels_last)
        if self.way in ("eager", "graph"):
            return module
        return self.torch.compile(module, mode=self.way)  # module.compile() leaves a Sequential as it is, unseen

    def optimizer(self, side: str) -> Any:
        """The optimiser of G or D, made when its player first learns."""
        if side not in self.optimizers:
            settings = {"lr": self.job["lr"], "betas": tuple(self.job["betas"]), self.adam: True}
            if self.way == "graph":  # a replay takes the rate from the device
                settings |= {"lr": self.torch.tensor(self.job["lr"], device=self.device), "capturable": True}
            self.optimizers[side] = self.torch.optim.Adam(getattr(self, side).parameters(), **settings)
        return self.optimizers[side]

    def rate(self, lr: float) -> None:
        """Let both optimisers take steps of this size."""
        for side in "gd":
            (group,) = self.optimizer(side).param_groups
            if self.way == "graph":
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def replay(self) -> Any:
        """The step as one launch of all its kernels, which are captured the first time."""
        cuda = self.torch.cuda
        if self.graph is None:
            aside = cuda.Stream()
            aside.wait_stream(cuda.current_stream())
            with cuda.stream(aside), warnings.catch_warnings(action="ignore"):  # Adam's: not captured yet
                for _ in range(WARM_UP):
                    self.eager()
            cuda.current_stream().wait_stream(aside)
            self.graph = cuda.CUDAGraph()
            with cuda.graph(self.graph):
                self.losses = self.eager()
        self.graph.replay()
        return self.losses

    def compiled(self) -> Any:
        """The step of players that ``torch.compile`` has taken; one that replays graphs may use all memory of the last again."""
        self.torch.compiler.cudagraph_mark_step_begin()
        return self.eager()

    def facts(self) -> dict[str, Any]:
        """What the report says of this side."""
        return {"version": str(self.torch.__version__)}

    def chain(self) -> Any:
        """Many small ops, forward and backward."""
        y = self.x
        for _ in range(self.job["chain"]):
            y = self.torch.tanh(y)
        self.x.grad = None
        loss = y.sum()
        loss.backward()
        return (loss,)

    def adversarial(self) -> Any:
        """D's turn, then G's."""
        bce = self.torch.nn.functional.binary_cross_entropy_with_logits
        smooth, zeros, ones = (target[: len(self.real)] for target in self.targets)
        self.optimizer("g").zero_grad()
        self.optimizer("d").zero_grad()
        fake = self.g(self.z)
        loss_d = bce(self.d(self.real), smooth) + bce(self.d(fake.detach()), zeros)
        loss_d.backward()
        self.optimizer("d").step()
        self.d.requires_grad_(False)
        loss_g = bce(self.d(fake), ones)
        loss_g.backward()
        self.d.requires_grad_(True)
        self.optimizer("g").step()
        return loss_d, loss_g

    def train(self, asked: dict[str, Any]) -> int:
        """Adversarial steps on the images in `asked["images"]` for `asked["seconds"]`, then 10,000 samples in `asked["out"]`.

        Returns:
            The number of steps.
        """
        torch, images = self.torch, self.tensor(np.load(asked["images"]))
        torch.manual_seed(asked["seed"])
        batch, steps, end = len(self.real), 0, time.perf_counter() + asked["seconds"]
        while time.perf_counter() < end:
            if steps % (len(images) // batch) == 0:
                order = torch.randperm(len(images))
            chosen = order[(steps % (len(images) // batch)) * batch :][:batch]
            self.real, self.z = images[chosen], torch.randn(batch, self.z.shape[1], device=self.device)
            if self.layout == "channels_last":
                self.real = self.real.to(memory_format=torch.channels_last)
            self.step()
            steps += 1
        self.g.eval()
        with torch.no_grad():
            parts = [self.g(torch.randn(250, self.z.shape[1], device=self.device)).cpu().numpy() for _ in range(40)]
        np.save(asked["out"], np.concatenate(parts))
        return steps

    def critic(self) -> Any:
        """One step of the critic, with the penalty of Gulrajani et al. (2017)."""
        torch, real = self.torch, self.real
        with torch.no_grad():
            fake = self.g(self.z)
        self.optimizer("d").zero_grad()
        share = self.epsilon[:, None, None, None]
        x = (share * real + (1 - share) * fake).requires_grad_(True)
        (dx,) = torch.autograd.grad(self.d(x).sum(), x, create_graph=True)
        penalty = ((dx.flatten(1).norm(dim=1) - 1) ** 2).mean()
        loss = self.d(fake).mean() - self.d(real).mean() + self.job["lambda"] * penalty
        loss.backward()
        self.optimizer("d").step()
        return loss, penalty

    def finish(self) -> None:
        """Wait until everything is computed."""
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def rehearse(self, samples: int) -> None:
        """One step on a few samples, of which nothing is left but what the libraries loaded."""
        given = self.real, self.z, self.epsilon
        self.real, self.z, self.epsilon = (a[:samples] for a in given)
        self.step()
        self.real, self.z, self.epsilon = given
        self.optimizers.clear()
        self.g.zero_grad()
        self.d.zero_grad()

    def check(self, path: str) -> list[float]:
        """The losses of one step that moves nothing; every gradient goes to `path`."""
        if self.job["step"] == "chain":
            losses = self.step()
            np.savez(path, x=self.x.grad.cpu().numpy())
            return [loss.item() for loss in losses]
        self.rate(0.0)  # Adam's first step would turn rounding into signs
        losses = self.step()
        self.rate(self.job["lr"])
        named = [(f"{side}.{k}", p.grad) for side in "gd" for k, p in getattr(self, side).named_parameters()]
        named = [(k.replace("_orig_mod.", ""), grad) for k, grad in named]  # as torch.compile calls what it has taken
        np.savez(path, **{k: grad.cpu().contiguous().numpy() for k, grad in named if grad is not None})
        return [loss.item() for loss in losses]
