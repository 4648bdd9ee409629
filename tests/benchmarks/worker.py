"""One side of a comparison, in a process of its own: builds a network, then answers commands on standard input.

``python worker.py minigan|torch NETWORK WEIGHTS [VARIANT]``; WEIGHTS is an .npz file that the minigan side writes and
the other reads, so that both start from the same numbers. Commands: ``check`` prints the losses of one step
without learning and the norm of every gradient as JSON; ``run K`` prints the seconds that K steps took.
"""

import json
import os
import sys
import time

THREADS = os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", THREADS)

import numpy as np  # noqa: E402 - after the number of threads is set

BATCH = 64
CHAIN = 100


def inputs():
    """The same real images and latents for both sides."""
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (BATCH, 1, 28, 28)).astype("float32"), rng.normal(size=(BATCH, 100)).astype("float32")


class MiniganSide:
    """minigan's own step, on its own models."""

    def __init__(self, network, weights, variant):
        import minigan as mg

        self.mg = mg
        if network == "tanh":
            self.x = mg.tensor(np.full((4, 4), 0.5, "float32"), requires_grad=True)
            self.step = self.chain
            return
        self.g, self.d = mg.gan.models.build({"dcgan28": "dcgan", "mlp": "gan"}[network], rng=0)
        state = {f"g.{k}": v for k, v in self.g.state_dict().items()} | {
            f"d.{k}": v for k, v in self.d.state_dict().items()
        }
        np.savez(weights, **state)
        self.opt_g = mg.optim.Adam(self.g.parameters(), 2e-4, (0.5, 0.999))
        self.opt_d = mg.optim.Adam(self.d.parameters(), 2e-4, (0.5, 0.999))
        self.real, self.z = (mg.tensor(a) for a in inputs())
        self.step = self.adversarial

    def chain(self):
        y = self.x
        for _ in range(CHAIN):
            y = self.mg.ops.tanh(y)
        y.sum().backward()
        self.x.grad = None

    def adversarial(self):
        losses = self.mg.gan.losses
        return self.mg.gan.adversarial_step(
            self.g, self.d, self.opt_g, self.opt_d, self.real, self.z, losses.discriminator, losses.non_saturating
        )

    def check(self):
        rates = [opt.settings["lr"] for opt in (self.opt_g, self.opt_d)]
        self.opt_g.settings["lr"] = self.opt_d.settings["lr"] = 0.0  # Adam's first step turns rounding into signs
        losses = [loss.item() for loss in self.adversarial()]
        self.opt_g.settings["lr"], self.opt_d.settings["lr"] = rates
        return losses, [float(np.linalg.norm(p.grad.numpy())) for p in [*self.g.parameters(), *self.d.parameters()]]


class TorchSide:
    """The same step in PyTorch: D frozen in G's turn; VARIANT says which Adam and which memory format."""

    def __init__(self, network, weights, variant):
        import torch
        from torch import nn

        torch.set_num_threads(int(THREADS))
        self.torch = torch
        if network == "tanh":
            self.x = torch.full((4, 4), 0.5, requires_grad=True)
            self.step = self.chain
            return
        adam, layout = variant.split(",")
        slope = 0.2
        if network == "mlp":
            self.g = nn.Sequential(
                nn.Linear(100, 256), nn.LeakyReLU(slope), nn.Linear(256, 512), nn.LeakyReLU(slope),
                nn.Linear(512, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)),
            )  # fmt: skip
            self.d = nn.Sequential(
                nn.Flatten(), nn.Linear(784, 512), nn.LeakyReLU(slope), nn.Linear(512, 256), nn.LeakyReLU(slope),
                nn.Linear(256, 1),
            )  # fmt: skip
        else:
            self.g = nn.Sequential(
                nn.Linear(100, 6272, bias=False), nn.Unflatten(1, (128, 7, 7)), nn.BatchNorm2d(128), nn.ReLU(),
                nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
                nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh(),
            )  # fmt: skip
            self.d = nn.Sequential(
                nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(slope), nn.Conv2d(64, 128, 4, 2, 1, bias=False),
                nn.BatchNorm2d(128), nn.LeakyReLU(slope), nn.Flatten(), nn.Linear(6272, 1),
            )  # fmt: skip
        stored = np.load(weights)
        for side, module in (("g", self.g), ("d", self.d)):
            module.load_state_dict({k[2:]: torch.from_numpy(v) for k, v in stored.items() if k.startswith(side + ".")})
            if layout == "channels_last":
                module.to(memory_format=torch.channels_last)
        self.opt_g = torch.optim.Adam(self.g.parameters(), 2e-4, (0.5, 0.999), **{adam: True})
        self.opt_d = torch.optim.Adam(self.d.parameters(), 2e-4, (0.5, 0.999), **{adam: True})
        self.real, self.z = (torch.from_numpy(a) for a in inputs())
        if layout == "channels_last":
            self.real = self.real.to(memory_format=torch.channels_last)
        self.step = self.adversarial

    def chain(self):
        y = self.x
        for _ in range(CHAIN):
            y = self.torch.tanh(y)
        y.sum().backward()
        self.x.grad = None

    def adversarial(self):
        torch, bce = self.torch, self.torch.nn.functional.binary_cross_entropy_with_logits
        ones = torch.ones(BATCH, 1)
        fake = self.g(self.z)
        self.opt_d.zero_grad()
        loss_d = bce(self.d(self.real), 0.9 * ones) + bce(self.d(fake.detach()), 0 * ones)
        loss_d.backward()
        self.opt_d.step()
        self.opt_g.zero_grad()
        for p in self.d.parameters():
            p.requires_grad_(False)
        loss_g = bce(self.d(fake), ones)
        loss_g.backward()
        for p in self.d.parameters():
            p.requires_grad_(True)
        self.opt_g.step()
        return loss_d, loss_g

    def check(self):
        groups = [opt.param_groups[0] for opt in (self.opt_g, self.opt_d)]
        rates = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] = 0.0
        losses = [loss.item() for loss in self.adversarial()]
        for group, rate in zip(groups, rates, strict=True):
            group["lr"] = rate
        return losses, [p.grad.norm().item() for p in [*self.g.parameters(), *self.d.parameters()]]


def main():
    side, network, weights, *variant = sys.argv[1:]
    worker = {"minigan": MiniganSide, "torch": TorchSide}[side](network, weights, *(variant or [""]))
    print("ready", flush=True)
    for line in sys.stdin:
        command, *count = line.split()
        if command == "check":
            print(json.dumps(worker.check()), flush=True)
        else:
            started = time.perf_counter()
            for _ in range(int(count[0])):
                worker.step()
            print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
