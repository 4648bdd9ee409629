"""Ops by family: kernels, hand-written gradient rules, formulas."""

from minigan.ops.arithmetic import (
    add,
    clip,
    div,
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    maximum,
    minimum,
    mul,
    neg,
    not_equal,
    pow,
    sub,
    where,
)
from minigan.ops.composite import cross_entropy, dropout, embedding
from minigan.ops.conv import conv2d, conv2d_weight_grad, conv_transpose2d
from minigan.ops.convert import to
from minigan.ops.functions import abs, cos, exp, leaky_relu, log, relu, sigmoid, sign, sin, softplus, sqrt, tanh
from minigan.ops.linear import linear, matmul
from minigan.ops.loss import bce_with_logits, l1_loss, mse_loss
from minigan.ops.norm import batch_norm, batch_norm_eval, batch_norm_train
from minigan.ops.pool import avg_pool2d, max_pool2d, pool_argmax, pool_gather, pool_scatter, upsample_nearest2d
from minigan.ops.reduce import max, mean, min, sum, var
from minigan.ops.shape import (
    astype,
    broadcast_to,
    concatenate,
    copy,
    getitem,
    pad,
    reshape,
    scatter_add,
    stack,
    sum_to,
    transpose,
)
from minigan.ops.softmax import log_softmax, softmax
from minigan.ops.standardize import layer_norm, standardize

__all__ = [
    "abs", "add", "astype", "avg_pool2d", "batch_norm", "batch_norm_eval", "batch_norm_train", "bce_with_logits",
    "broadcast_to", "clip", "concatenate", "conv2d", "conv2d_weight_grad", "conv_transpose2d", "copy", "cos",
    "cross_entropy", "div", "dropout", "embedding", "equal", "exp", "getitem", "greater", "greater_equal",
    "l1_loss", "layer_norm", "leaky_relu", "less", "less_equal", "linear", "log", "log_softmax", "matmul", "max",
    "max_pool2d", "maximum", "mean", "min", "minimum", "mse_loss", "mul", "neg", "not_equal", "pad", "pool_argmax",
    "pool_gather", "pool_scatter", "pow", "relu", "reshape", "scatter_add", "sigmoid", "sign", "sin", "softmax",
    "softplus", "sqrt", "stack", "standardize", "sub", "sum", "sum_to", "tanh", "to", "transpose",
    "upsample_nearest2d", "var", "where",
]  # fmt: skip
