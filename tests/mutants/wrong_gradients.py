"""Bugs in gradients, of the kinds that people make: each a change of one place in the package."""

from __future__ import annotations

from typing import NamedTuple


class Bug(NamedTuple):
    """A bug.

    Attributes:
        what: what is broken; an engine law by its number.
        subject: a name in `subjects.SUBJECTS`.
        file: in the package.
        old, new: the text, which is there once, and what takes its place.
    """

    what: str
    subject: str
    file: str
    old: str
    new: str


RULES = [
    Bug("sign", "cos", "ops/functions.py", "return -dy * F.sin(x)", "return dy * F.sin(x)"),
    Bug(
        "a factor of 1.0003", "Tanh", "ops/functions.py", "return dy * (1 - y * y)", "return 1.0003 * dy * (1 - y * y)"
    ),
    Bug(
        "a factor in one parameter's gradient",
        "Dense",
        "ops/linear.py",
        "return F.sum_to(dy, shape=bias_shape)",
        "return 2 * F.sum_to(dy, shape=bias_shape)",
    ),
    Bug(
        "gradients clipped to 2",
        "cos",
        "ops/functions.py",
        "return -dy * F.sin(x)",
        "return -F.clip(dy, min=-2.0, max=2.0) * F.sin(x)",
    ),
    Bug("a quotient's second term without y", "div", "ops/arithmetic.py", "return -dy * y / b", "return -dy / b"),
    Bug(
        "a matrix not transposed",
        "matmul",
        "ops/linear.py",
        "F.transpose(m, axes=(*range(m.ndim - 2), m.ndim - 1, m.ndim - 2))",
        "m",
    ),
    Bug(
        "negative gradients dropped",
        "LeakyReLU",
        "ops/functions.py",
        "return F.where(y > 0, dy, negative_slope * dy)",
        "return F.where(y > 0, F.relu(dy), negative_slope * dy)",
    ),
    Bug(
        "mean over too many",
        "mean",
        "ops/reduce.py",
        "return F.broadcast_to(F.reshape(dy, shape=kept) / n, shape=x_shape)",
        "return F.broadcast_to(F.reshape(dy, shape=kept) / math.prod(x_shape), shape=x_shape)",
    ),
    Bug("ddof with the other sign", "var", "ops/reduce.py", "2 / (n - ddof)", "2 / (n + ddof)"),
    Bug(
        "max: ties get it twice",
        "max of equals",
        "ops/reduce.py",
        "return F.reshape(dy, shape=kept) * chosen / F.sum(chosen, axis=axis, keepdims=True)",
        "return F.reshape(dy, shape=kept) * chosen",
    ),
    Bug(
        "maximum: ties get it twice",
        "maximum of equals",
        "ops/arithmetic.py",
        "F.where(equal, 0.5 * dy,",
        "F.where(equal, dy,",
    ),
    Bug(
        "clip: nothing stops at the upper bound",
        "clip",
        "ops/arithmetic.py",
        "return dx if max is None else F.where(x <= max, dx, 0.0)",
        "return dx",
    ),
    Bug(
        "where: sides swapped",
        "where",
        "ops/arithmetic.py",
        "return F.where(condition, dy, 0.0)",
        "return F.where(condition, 0.0, dy)",
    ),
    Bug(
        "log_softmax: another axis",
        "log_softmax",
        "ops/softmax.py",
        "F.exp(y) * F.sum(dy, axis=axis, keepdims=True)",
        "F.exp(y) * F.sum(dy, axis=0, keepdims=True)",
    ),
    Bug(
        "softmax: the sum dropped",
        "softmax",
        "ops/softmax.py",
        "return y * (dy - F.sum(dy * y, axis=axis, keepdims=True))",
        "return y * (dy - dy * y)",
    ),
    Bug(
        "concatenate: parts in reverse order",
        "concatenate",
        "ops/shape.py",
        "for a, b in pairwise(ends))",
        "for a, b in list(pairwise(ends))[::-1])",
    ),
    Bug("stack: off by one", "stack", "ops/shape.py", "(*before, i)", "(*before, i - 1)"),
    Bug("pad: off by one", "pad", "ops/shape.py", "slice(a, a + n) for (a, _)", "slice(a + 1, a + 1 + n) for (a, _)"),
    Bug(
        "summed over the wrong axes",
        "mul, broadcast",
        "ops/shape.py",
        "axes = (*range(extra), *ones)",
        "axes = (*range(x.ndim - extra, x.ndim), *ones)",
    ),
    Bug("repeated index overwritten", "Embedding", "backends/plain.py", "self.add.at(y, index, x)", "y[index] = x"),
    Bug(
        "max_pool: overlaps overwritten",
        "MaxPool2d",
        "ops/pool.py",
        "flat = xp.scatter_add(g.reshape(-1), places.reshape(-1), (n * c * size[0] * size[1],))",
        "flat = xp.zeros((n * c * size[0] * size[1],), g.dtype)\n    flat[places.reshape(-1)] = g.reshape(-1)",
    ),
    Bug(
        "max_pool: the last of equals, on NumPy",
        "MaxPool2d at ties",
        "backends/numpy.py",
        "    def adam(\n",
        "    def argmax(self, a: Any, axis: int) -> Any:\n"
        "        return a.shape[axis] - 1 - np.argmax(np.flip(a, axis), axis)\n"
        "\n"
        "    def adam(\n",
    ),
    Bug(
        "sigmoid: wrong, seen in softplus at order 2",
        "Softplus",
        "ops/functions.py",
        "return dy * (y * (1 - y))",
        "return dy * (y * (1 + y))",
    ),
    Bug(
        "sigma a constant",
        "SpectralNorm",
        "nn/norms.py",
        "sigma = u @ (self._matrix(weight) @ v)",
        "sigma = (u @ (self._matrix(weight) @ v)).detach()",
    ),
]

NORMS = [
    Bug(
        "batch norm: variance's path dropped",
        "BatchNorm",
        "ops/norm.py",
        " - centred * F.reshape(inv_std**3 * dinv / n, shape=shape)\n",
        "\n",
    ),
    Bug(
        "batch norm: mean's path dropped",
        "BatchNorm",
        "ops/norm.py",
        "return dcentred + F.reshape(dshift / n, shape=shape), dweight, dbias",
        "return dcentred, dweight, dbias",
    ),
    Bug(
        "the same in NumPy's fast rule: variance",
        "BatchNorm",
        "backends/numpy.py",
        "slope = (scale * inv_std * dweight / len(rows)).astype(rows.dtype)",
        "slope = (0 * dweight).astype(rows.dtype)",
    ),
    Bug(
        "the same in NumPy's fast rule: mean",
        "BatchNorm",
        "backends/numpy.py",
        "shift = (scale * dbias / len(rows)).astype(rows.dtype)",
        "shift = (0 * dbias).astype(rows.dtype)",
    ),
    Bug(
        "layer norm: the mean's path dropped",
        "LayerNorm",
        "ops/standardize.py",
        "return inv_std * (c - F.mean(c, axis=axes, keepdims=True))",
        "return inv_std * c",
    ),
    Bug(
        "layer norm: wrong at order 2 only", "LayerNorm", "ops/standardize.py", "if dinv_std is not None:", "if False:"
    ),
    Bug(
        "running statistics not updated",
        "BatchNorm, its statistics",
        "ops/norm.py",
        "running.assign_(new)",
        "pass",
    ),
    Bug(
        "running variance biased",
        "BatchNorm, its statistics",
        "backends/plain.py",
        ".clip(0, None) * (count / (count - 1))",
        ".clip(0, None)",
    ),
    Bug(
        "momentum the other way round",
        "BatchNorm, its statistics",
        "backends/plain.py",
        "(1 - momentum) * r + momentum * new",
        "momentum * r + (1 - momentum) * new",
    ),
    Bug(
        "wrong without a bias",
        "batch norm without bias",
        "ops/norm.py",
        "shift = -mean * scale if bias is None",
        "shift = -mean if bias is None",
    ),
    Bug(
        "batch statistics in evaluation",
        "BatchNorm",
        "ops/norm.py",
        "return batch_norm_eval(x, running_mean, running_var, weight, bias, eps=eps)",
        "return batch_norm_train(x, weight, bias, eps=eps)[0]",
    ),
    Bug(
        "evaluation moves the statistics",
        "BatchNorm",
        "nn/norms.py",
        "        if self.training:\n            self.num_batches_tracked",
        "        if True:\n            self.num_batches_tracked",
    ),
    Bug(
        "layer norm over the batch too",
        "LayerNorm",
        "ops/standardize.py",
        "standardize(x, ndim=len(shape), eps=eps)",
        "standardize(x, ndim=x.ndim, eps=eps)",
    ),
    Bug(
        "softmax over the batch",
        "softmax",
        "ops/softmax.py",
        "def softmax(xp, x, *, axis=-1):",
        "def softmax(xp, x, *, axis=0):",
    ),
]

CONVOLUTIONS = [
    Bug(
        "kernel flipped in the input's gradient",
        "Conv2d",
        "backends/plain.py",
        "part += patches[:, small_h, small_w, i, j]",
        "part += patches[:, small_h, small_w, kh - 1 - i, kw - 1 - j]",
    ),
    Bug(
        "channels swapped in the weight's gradient",
        "Conv2d",
        "backends/plain.py",
        "return grad.reshape(dy.shape[1], *kernel, x.shape[1] // groups).transpose(0, 3, 1, 2)",
        "return grad.reshape(dy.shape[1], x.shape[1] // groups, *kernel)",
    ),
    Bug(
        "stride lost in the weight's gradient",
        "Conv2d",
        "ops/conv.py",
        "x, dy, kernel=weight_shape[2:], stride=stride, padding",
        "x, dy, kernel=weight_shape[2:], stride=1, padding",
    ),
    Bug(
        "padding off by one in the input's gradient",
        "Conv2d",
        "backends/plain.py",
        "offset = tap - padding",
        "offset = tap - max(padding - 1, 0)",
    ),
    Bug(
        "dilation lost in the weight's gradient",
        "ConvTranspose2d",
        "ops/conv.py",
        "dy, x, kernel=weight_shape[2:], stride=stride, padding=padding, dilation=dilation",
        "dy, x, kernel=weight_shape[2:], stride=stride, padding=padding, dilation=1",
    ),
    Bug(
        "output_padding at the wrong end",
        "ConvTranspose2d, room for a window",
        "ops/conv.py",
        "slice(0, shape[2]), slice(0, shape[3])",
        "slice(-shape[2], None), slice(-shape[3], None)",
    ),
    Bug("output_padding off by one", "Conv2d", "ops/conv.py", "(weight[i] - 1) + 1)", "(weight[i] - 1))"),
    Bug(
        "wrong for groups > 1",
        "Conv2d",
        "backends/plain.py",
        "flat.reshape(n * h * w, groups, c // groups).transpose(1, 0, 2)",
        "flat.reshape(n * h * w, c // groups, groups).transpose(2, 0, 1)",
    ),
    Bug(
        "wrong for kernels that are not square",
        "Conv2d",
        "backends/plain.py",
        "for j in range(kw):",
        "for j in range(min(kh, kw)):",
    ),
    Bug(
        "wrong for odd sizes",
        "Conv2d",
        "ops/conv.py",
        "dy, weight, stride=stride, padding=padding, output_padding=rest",
        "dy, weight, stride=stride, padding=padding, output_padding=0",
    ),
    Bug(
        "wrong for an empty batch",
        "Conv2d",
        "backends/numpy.py",
        "pool.run(work, len(x))) if len(x) else plain(x, dy, kernel, *geometry)",
        "pool.run(work, len(x)))",
    ),
    Bug(
        "bias: the mean of the batch",
        "Conv2d",
        "ops/conv.py",
        '\\mathit{bias} = \\operatorname{sum}_{nhw} \\partial L/\\partial y")\ndef _(F, dy):\n    return F.sum(',
        '\\mathit{bias} = \\operatorname{sum}_{nhw} \\partial L/\\partial y")\n'
        "def _(F, dy):\n"
        "    return 1 / max(dy.shape[0], 1) * F.sum(",
    ),
    Bug(
        "a sign at order 2 only",
        "Conv2d",
        "ops/conv.py",
        "        g, ddw, stride=stride",
        "        g, -ddw, stride=stride",
    ),
]

BUGS = [*RULES, *NORMS, *CONVOLUTIONS]
