"""What the tests of a backend's own kernels share: the plain form to compare with, and calls to compare on."""

import numpy as np
from hypothesis import strategies as st
from support import assert_close, gamma, laid_out

from minigan.autodiff.registry import OPS, raw_ops
from minigan.backends.base import Backend

from .cases import CASES, longest

PLAIN = Backend("plain", np, np.ndarray)  # the array module, and the plain kernels untouched
PRECISIONS = st.sampled_from(["float32", "float64"])
data = st.data()


def drawn(data, rng, name, dtype):
    """A call in this precision, in any memory layout, and how far two orders of summation may lie apart."""
    call = data.draw(CASES[name]).map(lambda a: laid_out(data.draw, a.astype(dtype), rng))
    # n roundings, and conditions in these ranges of values stay below 8
    return call, 8 * gamma(longest(call, []) + 2, dtype)


def fast_and_plain(xp, name, inputs, call, arriving):
    """What a backend's fast rule gives for a call, None where it declines, and what the plain rule gives."""
    op = OPS[name]
    (rule,) = (r for r in op.rules if r.inputs == inputs)
    outputs = op.kernel(xp, *call.arguments(), **call.attributes)
    arrays = dict(zip(op.inputs, call.arguments(), strict=True))
    values = arrays | dict(zip(op.outputs, outputs if isinstance(outputs, tuple) else (outputs,), strict=True))
    values |= op.attributes | call.attributes | {f"{x}_shape": np.shape(a) for x, a in arrays.items()}
    values |= {f"d{y}": None for y in op.outputs}
    values |= {f"d{op.outputs[i]}": g for i, g in zip(call.reads, arriving, strict=True)}
    fast = xp.fast_rules[name, inputs](xp, *rule.pick(values))
    return fast, rule.function(raw_ops(PLAIN), *rule.pick(values))


def assert_same_gradients(inputs, call, fast, plain, bound):
    """What a fast rule and a plain one give for `inputs`, within a bound and in each input's dtype; a rule may decline."""
    if fast is not None:
        both = ((fast,), (plain,)) if len(inputs) == 1 else (fast, plain)
        for x, own, reference in zip(inputs, *both, strict=True):
            if x in call.variables:
                assert_close(own, reference, bound)
                assert own.dtype == reference.dtype == call.variables[x].dtype
