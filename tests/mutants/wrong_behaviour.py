"""Bugs in what is beside the values: memory, dtypes, modes, state, and the engine's laws."""

from wrong_gradients import Bug

MEMORY = [
    Bug("float64 leaks in", "Dropout", "ops/composite.py", "kept.astype(str(x.dtype))", "kept"),
    Bug(
        "float64 in a reduction",
        "mean",
        "ops/reduce.py",
        "return xp.mean(x, axis=axis, keepdims=keepdims)",
        'return xp.mean(x, axis=axis, keepdims=keepdims, dtype="float64")',
    ),
    Bug(
        "float32 inside a fast rule",
        "LeakyReLU",
        "backends/numpy.py",
        'xp.elementwise("leaky_relu_grad", y, dy, slope=negative_slope)',
        'xp.elementwise("leaky_relu_grad", y, dy, slope=negative_slope).astype("float32")',
    ),
    Bug(
        "a parameter made in float64",
        "Dense",
        "nn/layers.py",
        "random.uniform(-bound, bound, (outputs,), rng=generator)",
        'random.uniform(-bound, bound, (outputs,), "float64", generator)',
    ),
    Bug(
        "a parameter's gradient in another dtype",
        "computed in float64",
        "autodiff/graph.py",
        "return gradient if gradient.dtype is dtype or gradient.dtype == dtype else",
        "return gradient if gradient.dtype == dtype or i else",
    ),
    Bug(
        "input written to",
        "softmax",
        "ops/softmax.py",
        "    e = xp.exp(x - xp.max(x, axis=axis, keepdims=True))\n",
        "    x -= xp.max(x, axis=axis, keepdims=True)\n    e = xp.exp(x)\n",
    ),
    Bug(
        "incoming gradient written to",
        "LeakyReLU",
        "backends/numpy.py",
        '    return xp.elementwise("leaky_relu_grad", y, dy, slope=negative_slope) if negative_slope <= 1 else None',
        '    dx = xp.elementwise("leaky_relu_grad", y, dy, slope=negative_slope)\n    dy *= 2\n    return dx',
    ),
    Bug(
        "results in a buffer that is kept",
        "Tanh",
        "ops/functions.py",
        "return xp.tanh(x)",
        "return xp.tanh(x, out=vars(tanh).setdefault((x.shape, str(x.dtype), xp.name), xp.empty_like(x)))",
    ),
    Bug(
        "wrong for inputs in Fortran's order",
        "reshape",
        "ops/shape.py",
        "return xp.reshape(x, shape)",
        'return xp.reshape(x, shape, order="A")',
    ),
    Bug(
        "wrong for gradients that are strided",
        "LeakyReLU",
        "backends/numpy.py",
        "flat = [self.packed(a.transpose(axes)).reshape(-1) for a in arrays]",
        'flat = [a.ravel("K") for a in arrays]',
    ),
    Bug(
        "seed ignored",
        "Dropout",
        "ops/composite.py",
        'random.uniform(0, 1, x.shape, "float64", rng)',
        'random.uniform(0, 1, x.shape, "float64", random.np.random.default_rng())',
    ),
    Bug(
        "the weight's copy kept for ever",
        "Conv2d",
        "backends/numpy.py",
        "    return np.ascontiguousarray(weight.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)",
        "    kept = vars(_as_matrix).setdefault(str((weight.shape, weight.dtype)), weight.copy())\n"
        "    return np.ascontiguousarray(kept.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)",
    ),
]

STATE = [
    Bug(
        "state shared by instances",
        "BatchNorm",
        "nn/norms.py",
        'self.running_mean = Buffer([0.0] * channels, name="running_mean")',
        'one = Buffer([0.0] * channels, name="running_mean")\n'
        "        self.running_mean = vars(BatchNorm.forward).setdefault(str(channels), one)",
    ),
    Bug("dropout in evaluation", "Dropout", "ops/composite.py", "if not training or p == 0:", "if p == 0:"),
    Bug(
        "train() does not reach children",
        "Dropout in a net",
        "nn/module.py",
        "        for module in self.modules():\n            module.training = mode\n",
        "        self.training = mode\n",
    ),
    Bug(
        "a buffer that is none",
        "BatchNorm",
        "nn/norms.py",
        'self.running_var = Buffer([1.0] * channels, name="running_var")',
        'self.running_var = Tensor([1.0] * channels, name="running_var")',
    ),
    Bug(
        "buffers missing from the state dict",
        "BatchNorm",
        "nn/module.py",
        "return {name: value.numpy().copy() for name, value in self.named_state()}",
        "return {name: value.numpy().copy() for name, value in self.named_parameters()}",
    ),
    Bug(
        "a key passed over in loading",
        "Dense",
        "nn/module.py",
        "        for key, array in arrays.items():\n",
        '        arrays.pop("bias", None)\n        for key, array in arrays.items():\n',
    ),
    Bug(
        "state dict shares memory",
        "Dense",
        "nn/module.py",
        "value.numpy().copy() for name, value",
        "value.numpy() for name, value",
    ),
    Bug(
        "what is loaded is not copied",
        "Dense",
        "nn/module.py",
        'own[key].overwrite(array, f"load_state_dict() on {key!r}")',
        "own[key].data = array",
    ),
    Bug(
        "missing keys passed over",
        "Dense",
        "nn/module.py",
        "for k in own if strict and k not in state]",
        "for k in own if False]",
    ),
    Bug(
        "loaded before it is checked",
        "Dense",
        "nn/module.py",
        "                arrays[key] = Tensor(state[key], copy=False).data\n",
        "                arrays[key] = Tensor(state[key], copy=False).data\n"
        "                own[key].data[...] = arrays[key] if arrays[key].shape == own[key].shape else 0\n",
    ),
    Bug(
        "to() makes other parameters",
        "Dense",
        "nn/module.py",
        "        for _, tensor in self.named_state():\n            tensor.data =",
        "        for name, tensor in list(self.named_state()):\n"
        '            tensor = tensor if "." in name else Parameter(tensor.data)\n'
        '            vars(self).update({} if "." in name else {name: tensor})\n'
        "            tensor.data =",
    ),
]

LAWS = [
    Bug(
        "law 1: a rule's stride is lost",
        "Conv2d",
        "ops/conv.py",
        "F.conv2d(x, ddw, stride=stride, padding",
        "F.conv2d(x, ddw, padding",
    ),
    Bug(
        "law 2: a statistic's gradient is dropped",
        "BatchNorm",
        "ops/norm.py",
        "dinv = dinv if dinv_std is None else dinv + dinv_std",
        "dinv = dinv",
    ),
    Bug("law 3: nothing is freed", "Tanh", "autodiff/graph.py", "if not retain:", "if False:"),
    Bug(
        "law 4: a fast rule is another rule",
        "LeakyReLU",
        "backends/numpy.py",
        'xp.elementwise("leaky_relu_grad", y, dy, slope=negative_slope)',
        'xp.elementwise("leaky_relu_grad", y, dy, slope=0.01)',
    ),
    Bug(
        "law 5: broadcasting is not reduced",
        "mul, broadcast",
        "autodiff/graph.py",
        "gradient = engine.sum_to(gradient, shape)",
        "pass",
    ),
    Bug(
        "law 6: another order",
        "used twice",
        "autodiff/graph.py",
        "return sorted(found, key=_creation, reverse=True)",
        "return sorted(found, key=_creation)",
    ),
    Bug(
        "law 6: a graph left behind",
        "Tanh",
        "autodiff/protocol.py",
        "            return wrap(y, (node, 0) if",
        "            if node is not None:\n"
        '                node.saved[""] = node\n'
        "            return wrap(y, (node, 0) if",
    ),
    Bug(
        "law 7: a gradient has its own dtype",
        "computed in float64",
        "autodiff/graph.py",
        "return gradient if gradient.dtype is dtype or gradient.dtype == dtype else gradient.astype(dtype)",
        "return gradient",
    ),
    Bug(
        "law 8: a Tensor becomes an array",
        "tanh, by NumPy if it may",
        "autodiff/operators.py",
        "        raise TypeError(_advice(ufunc.__name__))",
        "        return getattr(ufunc, method)(*(x.data if isinstance(x, Operators) else x for x in inputs), **kwargs)",
    ),
    Bug(
        "law 9: an input silently without gradient",
        "mul",
        "autodiff/protocol.py",
        "served = mask & self.differentiable if not packed",
        "served = mask & -mask & self.differentiable if not packed",
    ),
    Bug("law 10: versions are not compared", "Dense", "autodiff/graph.py", "if version[0] != seen:", "if False:"),
    Bug(
        "law 10: views have their own version",
        "sine of a view",
        "autodiff/protocol.py",
        "versions.append(_shared(y, given) if shared else [0, None])",
        "versions.append([0, None])",
    ),
    Bug(
        "law 10: constants have their own version",
        "Tanh",
        "autodiff/tensor.py",
        "return wrap(self.data, None, self._version, cause)",
        "return wrap(self.data, None, [0, None], cause)",
    ),
    Bug(
        "law 11: one gradient given out twice",
        "add",
        "autodiff/graph.py",
        "return gradient if fresh else engine.copy(gradient)",
        "return gradient",
    ),
    Bug(
        "fan-out overwritten",
        "used twice",
        "autodiff/graph.py",
        "engine.add(entry[0], entry[1], gradient), True",
        "gradient, fresh",
    ),
    Bug(
        "backward() overwrites the gradient",
        "Tanh",
        "autodiff/functional.py",
        "arrived if held is None else total(held.data, arrived)",
        "arrived",
    ),
    Bug(
        "a joint rule's results swapped if one is wanted",
        "BatchNorm",
        "autodiff/graph.py",
        "pairs = zip(positions, result, strict=True)",
        "pairs = zip(positions, result if len(live) > 1 else result[:1] + result[:0:-1], strict=True)",
    ),
    Bug(
        "f(x, x): the second x forgotten",
        "x * x",
        "autodiff/protocol.py",
        "            elif served & 1:\n",
        "            elif served & 1 and not any(type(r) is tuple and r[0] is (a._edge or a) for r in routes):\n",
    ),
]

BUGS = [*MEMORY, *STATE, *LAWS]
