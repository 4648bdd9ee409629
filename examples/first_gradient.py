"""A gradient beside its finite difference: of one function, of a small network, and of a gradient itself.

    python examples/first_gradient.py
    python examples/first_gradient.py --h 1e-2

A rule written by hand is right if it says what really happens when an input is moved a little: (f(x + h) - f(x - h)) / 2h.
You will see three tables in which both columns agree to about ten digits. With a larger --h they part, by h^2: the
difference is the approximation, the gradient is not.
"""

import numpy as np
import tyro

import minigan as mg


def difference(f, x: mg.Tensor, i: tuple[int, ...], h: float) -> float:
    """How fast f, which gives a number, changes when the one element i of x moves."""
    e = np.zeros(x.shape)
    e[i] = h
    return float(f(x.detach() + e) - f(x.detach() - e)) / (2 * h)


def show(title: str, f, x: mg.Tensor, gradient: mg.Tensor, h: float, rows: int = 4) -> None:
    """One row an element: what the gradient says, and what happens."""
    print(f"\n{title}\n{'element':>10}  {'gradient':>14}  {'difference':>14}  {'off by':>8}")
    for i in list(np.ndindex(x.shape))[:rows]:
        g, d = gradient.numpy()[i], difference(f, x, i, h)
        print(f"{','.join(map(str, i)):>10}  {g:14.10f}  {d:14.10f}  {abs(g - d):8.1e}")


def main(h: float = 1e-5, hidden: int = 5, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    draw = lambda *shape: mg.tensor(rng.normal(size=shape), requires_grad=True)  # float64: ten digits can agree

    # 1. A function: every op in it has a rule, and the chain rule joins them.
    x = draw(4)
    f = lambda x: (x * x.tanh()).sum()
    f(x).backward()
    show("f(x) = sum of x tanh(x), by x", f, x, x.grad, h)

    # 2. A network: one backward pass gives the gradient by all weights, where differences need two forward passes each.
    inputs, targets = draw(8, 3), draw(8, 1)
    W1, W2 = draw(hidden, 3), draw(1, hidden)
    loss = lambda W1, W2: mg.ops.mse_loss((inputs @ W1.T).tanh() @ W2.T, targets)
    dW1, dW2 = mg.grad(loss(W1, W2), (W1, W2))
    show("the loss of a network, by its first layer's weights", lambda W: loss(W, W2), W1, dW1, h)
    show("the same loss, by its second layer's weights", lambda W: loss(W1, W), W2, dW2, h)

    # 3. A gradient is computed by ops as well: record them, and it has a gradient of its own.
    def slope(x):  # d/dx of the sum of x tanh(x)
        x = mg.tensor(x, requires_grad=True)
        return mg.grad(f(x), x).sum()

    first = mg.grad(f(x), x, create_graph=True)
    second = mg.grad(first.sum(), x)
    show("the gradient of the first gradient: f''(x)", slope, x, second, h)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
