"""Ops by family: kernels, hand-written gradient rules, formulas."""

from minigan.ops.arithmetic import (
    add,
    div,
    equal,
    greater,
    greater_equal,
    less,
    less_equal,
    mul,
    neg,
    not_equal,
    pow,
    sub,
    where,
)
from minigan.ops.conv import conv2d, conv2d_weight_grad, conv_transpose2d
from minigan.ops.convert import to
from minigan.ops.functions import abs, cos, exp, leaky_relu, log, relu, sigmoid, sign, sin, softplus, sqrt, tanh
from minigan.ops.linear import linear, matmul
from minigan.ops.loss import bce_with_logits
from minigan.ops.norm import batch_norm, batch_norm_eval, batch_norm_train
from minigan.ops.reduce import mean, sum, var
from minigan.ops.shape import astype, broadcast_to, copy, getitem, reshape, scatter_add, sum_to, transpose

__all__ = [
    "abs", "add", "astype", "batch_norm", "batch_norm_eval", "batch_norm_train", "bce_with_logits", "broadcast_to",
    "conv2d", "conv2d_weight_grad", "conv_transpose2d", "copy", "cos", "div", "equal", "exp", "getitem", "greater",
    "greater_equal", "leaky_relu", "less", "less_equal", "linear", "log", "matmul", "mean", "mul", "neg", "not_equal",
    "pow", "relu", "reshape", "scatter_add", "sigmoid", "sign", "sin", "softplus", "sqrt", "sub", "sum", "sum_to",
    "tanh", "to", "transpose", "var", "where",
]  # fmt: skip
