"""Two ways to teach G through D, and why they are the same one.

    python examples/frozen_discriminator.py

The first freezes D's weights and sends the loss back end to end, loss.backward(). The second asks only how the loss
changes with the image, dL/dX, and hands that to G. You will see that G's gradients are equal to the last bit and that
D's weights get none, then a GAN that trains the first way (examples/mnist_gan.py trains the second), with what it draws
in runs/frozen_discriminator.
"""

from pathlib import Path

import numpy as np
import tyro

import minigan as mg
from minigan import nn
from minigan.gan import losses, models
from minigan.gan.pictures import grid


def main(steps: int = 800, batch_size: int = 32, seed: int = 0, out: Path = Path("runs/frozen_discriminator")) -> None:
    rng = np.random.default_rng(seed)
    latents = lambda n: mg.tensor(rng.standard_normal((n, 100), dtype="float32"))
    G, D = models.dcgan28_generator(rng, width=16), models.dcgan28_discriminator(rng, width=16)
    opt_g, opt_d = (mg.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.999)) for net in (G, D))
    z = latents(batch_size)

    with nn.frozen(D):  # D's weights are constants: nothing is kept or computed for them
        losses.non_saturating(D(G(z))).backward()
    end_to_end = [p.grad.numpy() for p in G.parameters()]
    print(f"of D's {len(D.parameters())} parameters, {sum(p.grad is not None for p in D.parameters())} got a gradient")

    opt_g.zero_grad()
    fake = G(z)
    dL_dX = mg.grad(losses.non_saturating(D(fake)), fake)  # the walk back stops at the image
    fake.backward(dL_dX)  # and goes on from there
    by_message = [p.grad.numpy() for p in G.parameters()]
    apart = max(float(abs(a - b).max()) for a, b in zip(end_to_end, by_message, strict=True))
    print(f"largest difference between G's gradients: {apart} (the same rules, called with the same numbers)")

    images, _ = mg.data.digits()
    loader = mg.data.Loader(images, batch_size=batch_size, seed=seed)
    print("\n  step  loss of D  loss of G")
    for step in range(1, steps + 1):
        fake = G(latents(batch_size))

        opt_d.zero_grad()
        loss_d = losses.discriminator(D(mg.tensor(loader.next()[0])), D(fake.detach()), smoothing=0.9)
        loss_d.backward()
        opt_d.step()

        opt_g.zero_grad()
        with nn.frozen(D):
            loss_g = losses.non_saturating(D(fake))
        loss_g.backward()  # end to end
        opt_g.step()

        if step % max(steps // 10, 1) == 0:
            print(f"{step:6d}  {float(loss_d):9.3f}  {float(loss_g):9.3f}", flush=True)

    out.mkdir(parents=True, exist_ok=True)
    (out / "samples.png").write_bytes(grid(fake.numpy()))
    print(f"the last batch is in {out / 'samples.png'}")


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
