"""DCGAN: the two networks of Radford et al. (2016) for 28x28 digits, layer by layer, and the training step in plain sight.

    python examples/mnist_dcgan.py
    python examples/mnist_dcgan.py --steps 500 --out runs/short

G doubles: 7x7 becomes 14x14 becomes 28x28, each time by a transposed convolution of stride 2, which is the gradient of D's
convolution. You will see both losses, and in runs/mnist_dcgan the same 64 latents turn into digits, in some two minutes.
"""

from pathlib import Path

import numpy as np
import tyro

import minigan as mg
from minigan import nn
from minigan.gan.pictures import grid


def main(steps: int = 2000, batch_size: int = 32, seed: int = 0, out: Path = Path("runs/mnist_dcgan")) -> None:
    mg.seed(seed)  # of the layers' first weights
    rng = np.random.default_rng(seed)
    latents = lambda n: mg.tensor(rng.standard_normal((n, 100), dtype="float32"))

    G = nn.Sequential(
        nn.Dense(100, 128 * 7 * 7, bias=False), nn.Reshape(128, 7, 7), nn.BatchNorm(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1, bias=False), nn.BatchNorm(64), nn.ReLU(),  # 14x14
        nn.ConvTranspose2d(64, 1, 4, stride=2, padding=1), nn.Tanh(),  # 28x28
    )  # fmt: skip
    D = nn.Sequential(
        nn.Conv2d(1, 64, 4, stride=2, padding=1), nn.LeakyReLU(0.2),  # 14x14
        nn.Conv2d(64, 128, 4, stride=2, padding=1, bias=False), nn.BatchNorm(128), nn.LeakyReLU(0.2),  # 7x7
        nn.Flatten(), nn.Dense(128 * 7 * 7, 1),  # a logit, above 0 where D takes the image for real
    )  # fmt: skip
    nn.init.dcgan(G, rng=rng), nn.init.dcgan(D, rng=rng)  # weights from N(0, 0.02)
    opt_g, opt_d = (mg.optim.Adam(net.parameters(), lr=5e-4, betas=(0.5, 0.999)) for net in (G, D))

    images, _ = mg.data.digits()
    loader = mg.data.Loader(images, batch_size=batch_size, seed=seed)
    always_the_same = latents(64)
    out.mkdir(parents=True, exist_ok=True)
    print("  step  loss of D  loss of G  sum |dL/dX|")

    for step in range(1, steps + 1):
        (real,) = loader.next()
        fake = G(latents(batch_size))

        # D's turn. Real and generated images pass separately: each batch norm sees the statistics of one kind.
        opt_d.zero_grad()
        loss_d = mg.ops.bce_with_logits(D(mg.tensor(real)), 0.9) + mg.ops.bce_with_logits(D(fake.detach()), 0.0)
        loss_d.backward()
        opt_d.step()

        # G's turn, through the D that has just learned.
        opt_g.zero_grad()
        loss_g = mg.ops.bce_with_logits(D(fake), 1.0)
        dL_dX = mg.grad(loss_g, fake)  # (N, 1, 28, 28): how the loss changes with each pixel
        fake.backward(dL_dX)  # carried on into G's weights
        opt_g.step()

        if step % max(steps // 10, 1) == 0 or step == steps:
            print(f"{step:6d}  {float(loss_d):9.3f}  {float(loss_g):9.3f}  {float(abs(dL_dX).sum()):11.2f}", flush=True)
            picture = G.eval()(always_the_same)  # by running statistics: an image depends on its latent alone
            (out / f"step-{step:05d}.png").write_bytes(grid(picture.numpy()))
            G.train()


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
