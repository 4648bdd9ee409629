"""A small convolutional classifier of handwritten digits: above 97% on digits that it has never seen, in half a minute.

    python examples/digit_classifier.py
    python examples/digit_classifier.py --epochs 2 --train 1000

You will see, epoch by epoch, the share of right answers on 500 of the embedded digits, which it never learns from. It
learns from the other 4,500, each moved by up to two pixels; no GAN here, but the same layers, losses and optimiser.
"""

import time

import numpy as np
import tyro

import minigan as mg
from minigan import nn


def moved(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image shifted by up to two pixels each way, with background (-1) at its edge."""
    n, _, h, w = images.shape
    wide = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)), constant_values=-1)
    rows, columns = rng.integers(0, 5, (2, n, 1, 1))
    return wide[np.arange(n)[:, None, None], 0, rows + np.arange(h)[:, None], columns + np.arange(w)][:, None]


def accuracy(net: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose largest logit is that of their class."""
    net.eval()
    with mg.no_grad():
        right = net(mg.tensor(images)).numpy().argmax(axis=1) == labels
    net.train()
    return float(right.mean())


def main(epochs: int = 8, batch_size: int = 50, lr: float = 2e-3, train: int = 4500, seed: int = 0) -> float:
    mg.seed(seed)  # of the layers' first weights, and dropout
    rng = np.random.default_rng(seed)
    images, labels = mg.data.digits()
    order = rng.permutation(len(images))
    known, held_back = order[:train], order[-500:]

    net = nn.Sequential(  # images (N, 1, 28, 28) -> logits (N, 10)
        nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),  # (N, 16, 14, 14)
        nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),  # (N, 32, 7, 7)
        nn.Flatten(), nn.Dense(32 * 7 * 7, 128), nn.ReLU(), nn.Dropout(0.3), nn.Dense(128, 10),
    )  # fmt: skip
    opt = mg.optim.Adam(net.parameters(), lr=lr)
    loader = mg.data.Loader(images[known], labels[known], batch_size=batch_size, seed=seed)
    start = time.perf_counter()
    for epoch in range(1, epochs + 1):
        opt.settings["lr"] = lr * (1 - (epoch - 1) / epochs)  # smaller steps towards the end
        for x, y in loader:
            opt.zero_grad()
            loss = mg.ops.cross_entropy(net(mg.tensor(moved(x, rng))), y)
            loss.backward()
            opt.step()
        right = accuracy(net, images[held_back], labels[held_back])
        print(f"epoch {epoch:2d}  loss {float(loss):.3f}  held-back {right:.1%}  {time.perf_counter() - start:.0f} s")
    return right


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
