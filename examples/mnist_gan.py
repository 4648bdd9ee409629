"""The fully connected GAN: two small networks, handwritten digits, and the whole training step in plain sight.

    python examples/mnist_gan.py
    python examples/mnist_gan.py --steps 1000 --out runs/short

You will see both losses, and how strongly D tells G to change its images: dL/dX, the only thing that G ever hears of D.
Twelve pictures of the same 64 latents, in runs/mnist_gan, go from noise to digits in about a minute on 2 free cores.
"""

from pathlib import Path

import numpy as np
import tyro

import minigan as mg
from minigan import nn
from minigan.gan.pictures import grid


def main(steps: int = 6000, batch_size: int = 64, seed: int = 0, out: Path = Path("runs/mnist_gan")) -> None:
    mg.seed(seed)  # of the layers' first weights
    rng = np.random.default_rng(seed)
    latents = lambda n: mg.tensor(rng.standard_normal((n, 100), dtype="float32"))

    G = nn.Sequential(  # z (N, 100) -> images (N, 1, 28, 28) in [-1, 1]
        nn.Dense(100, 256), nn.BatchNorm(256), nn.LeakyReLU(0.2),
        nn.Dense(256, 512), nn.BatchNorm(512), nn.LeakyReLU(0.2),
        nn.Dense(512, 784), nn.Tanh(), nn.Reshape(1, 28, 28),
    )  # fmt: skip
    D = nn.Sequential(  # images (N, 1, 28, 28) -> logits (N, 1), above 0 where D takes them for real
        nn.Flatten(),
        nn.Dense(784, 512), nn.LeakyReLU(0.2),
        nn.Dense(512, 256), nn.LeakyReLU(0.2),
        nn.Dense(256, 1),
    )  # fmt: skip
    opt_g, opt_d = (mg.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (G, D))

    images, _ = mg.data.digits()
    loader = mg.data.Loader(images, batch_size=batch_size, seed=seed)
    always_the_same = latents(64)
    out.mkdir(parents=True, exist_ok=True)
    print("  step  loss of D  loss of G  sum |dL/dX|")

    for step in range(1, steps + 1):
        (real,) = loader.next()
        fake = G(latents(batch_size))

        # D's turn: real images are a 1, smoothed to 0.9 on this side only; generated ones are a 0.
        opt_d.zero_grad()
        loss_d = mg.ops.bce_with_logits(D(mg.tensor(real)), 0.9) + mg.ops.bce_with_logits(D(fake.detach()), 0.0)
        loss_d.backward()
        opt_d.step()

        # G's turn: it wants its images to be taken for a 1. This loss does not saturate where D is sure of a 0.
        opt_g.zero_grad()
        loss_g = mg.ops.bce_with_logits(D(fake), 1.0)
        dL_dX = mg.grad(loss_g, fake)  # (N, 1, 28, 28): how the loss changes with each pixel
        fake.backward(dL_dX)  # carried on into G's weights
        opt_g.step()

        if step % max(steps // 12, 1) == 0 or step == steps:
            print(f"{step:6d}  {float(loss_d):9.3f}  {float(loss_g):9.3f}  {float(abs(dL_dX).sum()):11.2f}", flush=True)
            picture = G.eval()(always_the_same)  # by running statistics: an image depends on its latent alone
            (out / f"step-{step:05d}.png").write_bytes(grid(picture.numpy()))
            G.train()


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
