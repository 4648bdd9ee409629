"""The public names of the design, one by one: each is there, does its work, has the design's signature and an example."""

import inspect
from operator import attrgetter

import numpy as np
import pytest
from public_checks import USES as CHECKS
from public_uses import USES as OTHERS

import minigan as mg

# The design's list of names, in its order. "." stands for minigan itself.
DESIGN = {
    ".": "tensor grad vjp jvp hvp why no_grad set_backend backend seed op",
    "Tensor": "data shape ndim size dtype backend requires_grad grad name backward detach item astype to assign_ numpy",
    "ops": "add sub mul div neg pow matmul exp log sqrt abs sin cos sum mean var max min maximum minimum where clip "
    "reshape transpose broadcast_to sum_to concatenate stack pad getitem scatter_add "
    "relu leaky_relu sigmoid tanh softplus softmax log_softmax linear conv2d conv_transpose2d batch_norm "
    "layer_norm max_pool2d avg_pool2d upsample_nearest2d embedding dropout "
    "bce_with_logits cross_entropy mse_loss l1_loss",
    "nn": "Module Parameter Sequential ModuleList Dense Conv2d ConvTranspose2d BatchNorm LayerNorm SpectralNorm Dropout "
    "Embedding Flatten Reshape ReLU LeakyReLU Tanh Sigmoid Softplus MaxPool2d AvgPool2d Upsample frozen",
    "nn.Module": "parameters named_parameters state_dict load_state_dict train eval to",
    "optim": "SGD RMSProp Adam",
    "optim.Optimizer": "step zero_grad state_dict",
    "gan": "losses penalties gradient_penalty EMA Captured InstanceNoise models adversarial_step discriminator_step generator_step "
    "Trainer load",
    "gan.Run": "generator sample",
    "data": "digits mnist folder fingerprint ring grid line Loader",
    "metrics": "Judge judge judge_network Reference reference frechet_distance precision_recall memorisation nearest "
    "confidence class_shares entropy_of_mean mean_entropy modes_covered high_quality_share reverse_kl spread_ratio",
    "metrics.Judge": "features classify probabilities",
    "metrics.Reference": "compare",
    "study": "explain explain_step graph lab fool gradient_picture image_gradient record Size",
    "testing": "check_layer layer_checks CHECKS check_grads check_adjoint check_linear "
    "check_shape_inference check_dtype check_layouts check_no_mutation check_batch_equivariance check_deterministic "
    "check_train_eval check_state_dict check_backends "
    "check_laws check_rules_agree check_linear_in_gradient check_fewer_gradients check_fan_out check_no_graph_left "
    "check_results_kept check_changes_noticed "
    "arrays shapes conv_geometry layer_cases layers LAYOUTS STRICT",
}
USES = OTHERS | CHECKS
NAMES = [f"{room}.{name}".lstrip(".") for room, names in DESIGN.items() for name in names.split()]

SIGNATURES = {  # names of arguments in their order, and every default that the design gives
    "tensor": "data, requires_grad=False, name=None, copy=True",
    "Tensor.backward": "self, grad=None, retain_graph=False",
    "Tensor.astype": "self, dtype",
    "Tensor.to": "self, backend",
    "grad": "outputs, inputs, grad_outputs=None, create_graph=False, retain_graph=None, allow_unused=False",
    "vjp": "function, *inputs",
    "jvp": "function, inputs, tangents",
    "hvp": "function, x, v",
    "why": "x",
    "seed": "n",
    "ops.sum": "x, axis=None, keepdims=False",
    "ops.mean": "x, axis=None, keepdims=False",
    "ops.var": "x, axis=None, keepdims=False, ddof=0",
    "ops.max": "x, axis=None, keepdims=False",
    "ops.min": "x, axis=None, keepdims=False",
    "ops.leaky_relu": "x, negative_slope=0.01",
    "ops.softmax": "x, axis=-1",
    "ops.log_softmax": "x, axis=-1",
    "ops.linear": "x, weight, bias=None",
    "ops.conv2d": "x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1",
    "ops.conv_transpose2d": "x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1",
    "ops.batch_norm": "x, weight=None, bias=None, running_mean=None, running_var=None, training=True, momentum=0.1, eps=1e-5",
    "ops.bce_with_logits": "x, target",
    "ops.cross_entropy": "x, target",
    "ops.mse_loss": "x, target",
    "ops.l1_loss": "x, target",
    "nn.Module.load_state_dict": "self, state, strict=True",
    "nn.LeakyReLU": "negative_slope=0.01",
    "optim.Adam": "params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0",
    "gan.EMA": "module, decay=0.999",
    "gan.Run.sample": "self, n, seed, statistics, label",
    "data.digits": "",
    "data.mnist": "split, folder=None",
    "data.folder": "path, size=64, channels=3, unreadable='skip'",
}


def find(name):
    return attrgetter(name)(mg)


def plain(value):
    """Tensors and arrays as lists, wherever they stand."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(plain, value))
    value = value.numpy() if isinstance(value, mg.Tensor) else value
    return value.tolist() if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_the_design_does_its_work(name, tmp_path):
    assert name in USES, f"{name} is in the design and has no use here"
    use, expected = USES[name]
    assert plain(use(tmp_path) if inspect.signature(use).parameters else use()) == expected


def test_every_use_is_of_a_name_of_the_design():
    assert sorted(USES.keys() - set(NAMES)) == []


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_signature_is_that_of_the_design(name):
    wanted = inspect.signature(eval(f"lambda {SIGNATURES[name]}: 0")).parameters
    parameters = inspect.signature(find(name)).parameters
    assert list(parameters) == list(wanted)
    empty = inspect.Parameter.empty
    assert {n: parameters[n].default for n, p in wanted.items() if p.default is not empty} == {
        n: p.default for n, p in wanted.items() if p.default is not empty
    }


def public():
    """Every public name with its object: the design's, all that a package lists, and what the modules among them define."""
    found = {name: find(name) for name in NAMES if not name.startswith("gan.Run.generator")}
    nets = ("nn", "nn.init", "optim", "gan", "gan.losses", "gan.penalties", "gan.models")
    for package in ("ops", *nets, "data", "metrics", "study", "testing", "errors"):
        module = find(package)
        own = (
            n
            for n, o in vars(module).items()
            if not n.startswith("_") and getattr(o, "__module__", "") == module.__name__
        )
        found |= {f"{package}.{n}": getattr(module, n) for n in getattr(module, "__all__", own)}
    found |= {n: getattr(mg, n) for n in mg.__all__}
    # what follows is described where it stands, and so are the results of checks and of study, and failures
    data = {"__version__", "gan.PRESETS", "Tensor.data", "Tensor.name", "gan.models.Rng", "testing.ConvGeometry"}
    for package in (mg.testing, mg.study):
        data |= {f"{package.__name__[8:]}.{n}" for n, o in vars(package).items() if not inspect.isfunction(o)}
    return {n: o for n, o in found.items() if not inspect.ismodule(o) and n not in data}


def test_every_public_name_has_a_docstring_with_an_example():
    assert sorted(name for name, obj in public().items() if ">>>" not in (inspect.getdoc(obj) or "")) == []
