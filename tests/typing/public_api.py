"""What a type checker makes of the public API; `make types` reads this file as a user's, nothing runs it."""

from typing import Any, assert_type

import numpy as np

import minigan as mg

x = mg.tensor([[1.0, 2.0]], requires_grad=True, name="x")
assert_type(x, mg.Tensor)
assert_type(x.shape, tuple[int, ...])
assert_type(x.ndim, int)
assert_type(x.data, mg.Array)
assert_type(x.numpy(), np.ndarray[Any, np.dtype[Any]])
assert_type(x.item(), bool | int | float)
assert_type(x.grad, mg.Tensor | None)
assert_type(x.detach().astype("float64").to("numpy"), mg.Tensor)
assert_type(-x + 2 * x @ x.T / 3.0, mg.Tensor)
assert_type(x.sum(axis=0).reshape(2, 1)[0], mg.Tensor)
mg.tensor(np.zeros(3))
mg.tensor(x.data)
array: mg.Array = np.zeros((2, 3), np.float32)

y = mg.ops.tanh(x)
assert_type(y, mg.Tensor)
assert_type(mg.ops.add(x, 1.0), mg.Tensor)
assert_type(mg.ops.batch_norm_train(x), tuple[mg.Tensor, ...])
assert_type(mg.ops.bce_with_logits(y, 1.0), mg.Tensor)

assert_type(mg.grad(y.sum(), x), mg.Tensor)
assert_type(mg.grad(y.sum(), [x, y]), tuple[mg.Tensor, ...])
assert_type(mg.hvp(lambda t: (t * t).sum(), x, x), mg.Tensor)
assert_type(mg.why(x), str)


@mg.op
def double(xp: Any, x: mg.Array) -> Any:
    return 2 * x


@double.gradient("x", formula=r"\partial L/\partial x = 2 \, \partial L/\partial y")
def _(F: Any, dy: Any) -> Any:
    return 2 * dy


assert_type(double(x), mg.Tensor)


class Block(mg.nn.Module):
    def __init__(self) -> None:
        self.dense = mg.nn.Dense(2, 3)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        y: mg.Tensor = self.dense(x)
        return y


block = Block().train().to("numpy")
assert_type(block, Block)
assert_type(block.parameters(), list[mg.nn.Parameter])
opt = mg.optim.Adam(block.parameters(), lr=1e-3)
opt.step()
with mg.no_grad(), mg.backend("numpy"), mg.nn.frozen(block):
    pass

images, labels = mg.data.digits()
run = mg.gan.load("runs/gan")
samples = run.sample(4, seed=0)
