"""One use of every public name, and what it gives; those of `minigan.testing` are in `public_checks`."""

import dataclasses

import numpy as np
from PIL import Image

import minigan as mg
from minigan import backends, ops


def tensor(*shape):
    return mg.tensor(np.ones(shape, "float32"))


def leaf(value=3.0):
    return mg.tensor(value, requires_grad=True, name="x")


def twice():
    @mg.op
    def twice(xp, x):
        return 2 * x

    @twice.gradient("x", formula="2")
    def _(F, dy):
        return 2 * dy

    return mg.grad(twice(x := leaf()), x)


def backward():
    x = leaf()
    (x * x).backward()
    return x.grad


def no_grad():
    with mg.no_grad():
        return (leaf() * 2).requires_grad


def chosen_backend():
    name = backends.current().name
    mg.set_backend(name)
    return mg.tensor(1.0).backend == name


def backend():
    with mg.backend("numpy"):
        return mg.tensor(1.0).backend


def seeded():
    mg.seed(1)
    first = mg.nn.Dense(2, 2).weight.numpy()
    mg.seed(1)
    return (first == mg.nn.Dense(2, 2).weight.numpy()).all()


def to_own_backend():
    x = mg.tensor([1.0])
    return x.to(x.backend)


def moved():
    layer = mg.nn.Dense(1, 1)
    return layer.to(layer.weight.backend) is layer


def loaded():
    a, b = mg.nn.Dense(2, 1, rng=0), mg.nn.Dense(2, 1, rng=1)
    return (b.load_state_dict(a.state_dict()).weight.numpy() == a.weight.numpy()).all()


def frozen():
    layer = mg.nn.Dense(1, 1)
    with mg.nn.frozen(layer):
        return layer(tensor(1, 1)).requires_grad


def stepped(optimizer, **settings):
    x = leaf(1.0)
    opt = optimizer([x], **settings)
    (2 * x).backward()
    opt.step()
    return round(x.item(), 3)


def cleared():
    x = leaf()
    opt = mg.optim.SGD([x])
    x.backward()
    opt.zero_grad()
    return x.grad


def idx_files(folder):
    """Three black images and their labels, in MNIST's format."""
    for kind, shape in (("images", (3, 28, 28)), ("labels", (3,))):
        header = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes()
        name = f"train-{kind}-idx{len(shape)}-ubyte"
        (folder / name).write_bytes(header + np.zeros(shape, "uint8").tobytes())
    return folder


def averaged():
    module = mg.nn.Sequential(mg.nn.Dense(1, 1, bias=False, rng=0))
    ema = mg.gan.EMA(module, decay=0.0)
    module[0].weight.assign_(1.0)
    ema.update()
    return ema.module[0].weight.item()


def turns():
    """A step of both players, D's turn and G's, each as a function that gives a loss's shape."""
    g, d = mg.nn.Dense(2, 3, rng=0), mg.nn.Dense(3, 1, rng=0)
    opt_g, opt_d = (mg.optim.Adam(net.parameters()) for net in (g, d))
    hinge, real, z = mg.gan.losses.LOSSES["hinge"], tensor(4, 3), tensor(4, 2)
    losses = hinge.discriminator, hinge.generator
    return {
        "both": lambda: mg.gan.adversarial_step(g, d, opt_g, opt_d, real, z, *losses)[0].shape,
        "d": lambda: mg.gan.discriminator_step(d, opt_d, real, g(z), losses[0]).shape,
        "g": lambda: mg.gan.generator_step(d, opt_g, g(z), losses[1]).shape,
    }


def image_folder(folder):
    """One white image."""
    Image.new("L", (8, 8), 255).save(folder / "a.png")
    return folder


def explained(folder):
    return next(iter(mg.study.explain_step(mg.gan.Trainer(mg.gan.TrainConfig("gan", batch_size=2, out=folder)))))


def trained(folder):
    trainer = mg.gan.Trainer(dataclasses.replace(mg.gan.PRESETS["gan"], steps=1, batch_size=2, out=folder))
    trainer.run()
    return len(trainer.metrics)


def small_run():
    return mg.gan.Run(mg.gan.TrainConfig("gan"), mg.gan.models.mlp_generator(rng=0))


def loaded_run(folder):
    trained(folder)
    return mg.gan.load(folder).sample(2, seed=0).shape


def black(n):
    return np.full((n, 1, 28, 28), -1, "float32")


def compared():
    figures = mg.metrics.Reference("black", black(8), held_back=False).compare(black(4))
    return round(figures["judge_frechet"], 6)


SQUARE = [[1.0, 2.0], [3.0, 6.0]]
IMAGE = [[[[1.0, 2.0], [3.0, 6.0]]]]
at = lambda *places: mg.tensor(np.array(places))

USES = {
    "tensor": (lambda: mg.tensor([1, 2]).dtype == "float32", True),
    "grad": (lambda: mg.grad((x := leaf()) * x, x), 6.0),
    "vjp": (lambda: mg.vjp(ops.mul, 2.0, 3.0)[1](1.0), (3.0, 2.0)),
    "jvp": (lambda: mg.jvp(ops.mul, (2.0, 3.0), (1.0, 1.0)), (6.0, 5.0)),
    "hvp": (lambda: mg.hvp(lambda x: x**3, 2.0, 1.0), 12.0),
    "why": (
        lambda: mg.why(mg.tensor(1.0, name="w")),
        "'w' does not require a gradient: make it with requires_grad=True",
    ),
    "no_grad": (no_grad, False),
    "set_backend": (chosen_backend, True),
    "backend": (backend, "numpy"),
    "seed": (seeded, True),
    "op": (twice, 2.0),
    "Tensor.data": (lambda: leaf().data.shape, ()),
    "Tensor.shape": (lambda: tensor(1, 2).shape, (1, 2)),
    "Tensor.ndim": (lambda: tensor(1, 2).ndim, 2),
    "Tensor.size": (lambda: tensor(1, 2).size, 2),
    "Tensor.dtype": (lambda: tensor(1).dtype == "float32", True),
    "Tensor.backend": (lambda: tensor(1).backend == backends.current().name, True),
    "Tensor.requires_grad": (lambda: leaf().requires_grad, True),
    "Tensor.grad": (lambda: leaf().grad, None),
    "Tensor.name": (lambda: leaf().name, "x"),
    "Tensor.backward": (backward, 6.0),
    "Tensor.detach": (lambda: leaf().detach().requires_grad, False),
    "Tensor.item": (lambda: leaf().item(), 3.0),
    "Tensor.astype": (lambda: leaf().astype("float64").dtype == "float64", True),
    "Tensor.to": (to_own_backend, [1.0]),
    "Tensor.assign_": (lambda: mg.tensor([1.0]).assign_([2.0]), [2.0]),
    "Tensor.numpy": (lambda: mg.tensor([1.0]).numpy().tolist(), [1.0]),
    "ops.add": (lambda: ops.add(1.0, 2.0), 3.0),
    "ops.sub": (lambda: ops.sub(1.0, 2.0), -1.0),
    "ops.mul": (lambda: ops.mul(2.0, 3.0), 6.0),
    "ops.div": (lambda: ops.div(3.0, 2.0), 1.5),
    "ops.neg": (lambda: ops.neg(2.0), -2.0),
    "ops.pow": (lambda: ops.pow(3.0, 2), 9.0),
    "ops.matmul": (lambda: ops.matmul(SQUARE, [1.0, 1.0]), [3.0, 9.0]),
    "ops.exp": (lambda: ops.exp(0.0), 1.0),
    "ops.log": (lambda: ops.log(1.0), 0.0),
    "ops.sqrt": (lambda: ops.sqrt(9.0), 3.0),
    "ops.abs": (lambda: ops.abs(-2.0), 2.0),
    "ops.sin": (lambda: ops.sin(0.0), 0.0),
    "ops.cos": (lambda: ops.cos(0.0), 1.0),
    "ops.sum": (lambda: ops.sum(SQUARE, axis=1), [3.0, 9.0]),
    "ops.mean": (lambda: ops.mean(SQUARE, axis=0, keepdims=True), [[2.0, 4.0]]),
    "ops.var": (lambda: ops.var([1.0, 3.0]), 1.0),
    "ops.max": (lambda: ops.max(SQUARE, axis=0), [3.0, 6.0]),
    "ops.min": (lambda: ops.min(SQUARE), 1.0),
    "ops.maximum": (lambda: ops.maximum([1.0, 5.0], 2.0), [2.0, 5.0]),
    "ops.minimum": (lambda: ops.minimum([1.0, 5.0], 2.0), [1.0, 2.0]),
    "ops.where": (lambda: ops.where(mg.tensor(np.array([True, False])), 1.0, [2.0, 3.0]), [1.0, 3.0]),
    "ops.clip": (lambda: ops.clip([-2.0, 0.5, 2.0], min=-1, max=1), [-1.0, 0.5, 1.0]),
    "ops.reshape": (lambda: ops.reshape([1.0, 2.0], (2, 1)), [[1.0], [2.0]]),
    "ops.transpose": (lambda: ops.transpose([[1.0, 2.0]]), [[1.0], [2.0]]),
    "ops.broadcast_to": (lambda: ops.broadcast_to([1.0], (2,)), [1.0, 1.0]),
    "ops.sum_to": (lambda: ops.sum_to(SQUARE, (2,)), [4.0, 8.0]),
    "ops.concatenate": (lambda: ops.concatenate((tensor(1), tensor(2))), [1.0, 1.0, 1.0]),
    "ops.stack": (lambda: ops.stack((tensor(1), tensor(1))), [[1.0], [1.0]]),
    "ops.pad": (lambda: ops.pad([1.0], ((1, 1),)), [0.0, 1.0, 0.0]),
    "ops.getitem": (lambda: ops.getitem(SQUARE, (0, 1)), 2.0),
    "ops.scatter_add": (lambda: ops.scatter_add([1.0, 2.0], index=(at(1, 1).data,), shape=(2,)), [0.0, 3.0]),
    "ops.relu": (lambda: ops.relu([-1.0, 2.0]), [0.0, 2.0]),
    "ops.leaky_relu": (lambda: ops.leaky_relu([-1.0, 2.0], 0.5), [-0.5, 2.0]),
    "ops.sigmoid": (lambda: ops.sigmoid(0.0), 0.5),
    "ops.tanh": (lambda: ops.tanh(0.0), 0.0),
    "ops.softplus": (lambda: ops.softplus(200.0), 200.0),
    "ops.softmax": (lambda: ops.softmax([1.0, 1.0]), [0.5, 0.5]),
    "ops.log_softmax": (lambda: ops.log_softmax([0.0, 200.0]), [-200.0, 0.0]),
    "ops.linear": (lambda: ops.linear([1.0, 2.0], [[3.0, 4.0]], [1.0]), [12.0]),
    "ops.conv2d": (lambda: ops.conv2d(tensor(1, 1, 2, 2), tensor(1, 1, 2, 2)), [[[[4.0]]]]),
    "ops.conv_transpose2d": (lambda: ops.conv_transpose2d(tensor(1, 1, 1, 1), tensor(1, 1, 1, 2)), [[[[1.0, 1.0]]]]),
    "ops.batch_norm": (lambda: ops.batch_norm([[1.0], [3.0]], eps=0.0), [[-1.0], [1.0]]),
    "ops.layer_norm": (lambda: ops.layer_norm(mg.tensor([[1.0, 3.0]]), 2, eps=0.0), [[-1.0, 1.0]]),
    "ops.max_pool2d": (lambda: ops.max_pool2d(mg.tensor(IMAGE), 2), [[[[6.0]]]]),
    "ops.avg_pool2d": (lambda: ops.avg_pool2d(mg.tensor(IMAGE), 2), [[[[3.0]]]]),
    "ops.upsample_nearest2d": (lambda: ops.upsample_nearest2d(tensor(1, 1, 1, 1)), [[[[1.0, 1.0], [1.0, 1.0]]]]),
    "ops.embedding": (lambda: ops.embedding(at(1, 0), mg.tensor([[1.0], [2.0]])), [[2.0], [1.0]]),
    "ops.dropout": (lambda: set(ops.dropout(tensor(99), 0.5, rng=0).numpy().tolist()), {0.0, 2.0}),
    "ops.bce_with_logits": (lambda: ops.bce_with_logits([200.0, -200.0], 1.0), 100.0),
    "ops.cross_entropy": (lambda: ops.cross_entropy([[0.0, 200.0]], at(0)), 200.0),
    "ops.mse_loss": (lambda: ops.mse_loss([1.0, 5.0], 3.0), 4.0),
    "ops.l1_loss": (lambda: ops.l1_loss([1.0, 5.0], 3.0), 2.0),
    "nn.Module": (lambda: list(mg.nn.Module().parameters()), []),
    "nn.Parameter": (lambda: mg.nn.Parameter([1.0]).requires_grad, True),
    "nn.Sequential": (lambda: mg.nn.Sequential(mg.nn.ReLU(), mg.nn.Flatten())(tensor(2, 1, 2)).shape, (2, 2)),
    "nn.ModuleList": (lambda: len(mg.nn.ModuleList([mg.nn.ReLU()])), 1),
    "nn.Dense": (lambda: mg.nn.Dense(3, 2)(tensor(4, 3)).shape, (4, 2)),
    "nn.Conv2d": (lambda: mg.nn.Conv2d(3, 2, 4, stride=2, padding=1)(tensor(1, 3, 8, 8)).shape, (1, 2, 4, 4)),
    "nn.ConvTranspose2d": (
        lambda: mg.nn.ConvTranspose2d(3, 2, 4, stride=2, padding=1)(tensor(1, 3, 4, 4)).shape,
        (1, 2, 8, 8),
    ),
    "nn.BatchNorm": (lambda: mg.nn.BatchNorm(3)(tensor(2, 3, 2, 2)), np.zeros((2, 3, 2, 2)).tolist()),
    "nn.LayerNorm": (lambda: mg.nn.LayerNorm(3)(tensor(2, 3)), np.zeros((2, 3)).tolist()),
    "nn.SpectralNorm": (lambda: mg.nn.SpectralNorm(mg.nn.Dense(3, 2))(tensor(4, 3)).shape, (4, 2)),
    "nn.Dropout": (lambda: mg.nn.Dropout(0.5).eval()(tensor(2)), [1.0, 1.0]),
    "nn.Embedding": (lambda: mg.nn.Embedding(5, 2)(at(4, 4, 4)).shape, (3, 2)),
    "nn.Flatten": (lambda: mg.nn.Flatten()(tensor(2, 3, 4)).shape, (2, 12)),
    "nn.Reshape": (lambda: mg.nn.Reshape(3, 4)(tensor(2, 12)).shape, (2, 3, 4)),
    "nn.ReLU": (lambda: mg.nn.ReLU()(mg.tensor([-1.0, 2.0])), [0.0, 2.0]),
    "nn.LeakyReLU": (lambda: mg.nn.LeakyReLU(0.5)(mg.tensor([-1.0, 2.0])), [-0.5, 2.0]),
    "nn.Tanh": (lambda: mg.nn.Tanh()(mg.tensor(0.0)), 0.0),
    "nn.Sigmoid": (lambda: mg.nn.Sigmoid()(mg.tensor(0.0)), 0.5),
    "nn.Softplus": (lambda: mg.nn.Softplus()(mg.tensor(200.0)), 200.0),
    "nn.MaxPool2d": (lambda: mg.nn.MaxPool2d(2)(mg.tensor(IMAGE)), [[[[6.0]]]]),
    "nn.AvgPool2d": (lambda: mg.nn.AvgPool2d(2)(mg.tensor(IMAGE)), [[[[3.0]]]]),
    "nn.Upsample": (lambda: mg.nn.Upsample(2)(tensor(1, 1, 2, 2)).shape, (1, 1, 4, 4)),
    "nn.frozen": (frozen, False),
    "nn.Module.parameters": (lambda: len(mg.nn.Dense(2, 1).parameters()), 2),
    "nn.Module.named_parameters": (lambda: [k for k, _ in mg.nn.Dense(2, 1).named_parameters()], ["weight", "bias"]),
    "nn.Module.state_dict": (lambda: mg.nn.Dense(2, 1).state_dict()["weight"].shape, (1, 2)),
    "nn.Module.load_state_dict": (loaded, True),
    "nn.Module.train": (lambda: mg.nn.Sequential(mg.nn.ReLU()).eval().train()[0].training, True),
    "nn.Module.eval": (lambda: mg.nn.Sequential(mg.nn.ReLU()).eval()[0].training, False),
    "nn.Module.to": (moved, True),
    "optim.SGD": (lambda: stepped(mg.optim.SGD, lr=0.1, weight_decay=1.0), 0.7),
    "optim.RMSProp": (lambda: stepped(mg.optim.RMSProp, lr=0.1, eps=0.0), 0.0),
    "optim.Adam": (lambda: stepped(mg.optim.Adam, lr=0.1, betas=(0.5, 0.9), eps=0.0), 0.9),
    "optim.Optimizer.step": (lambda: stepped(mg.optim.SGD, lr=0.5), 0.0),
    "optim.Optimizer.zero_grad": (cleared, None),
    "optim.Optimizer.state_dict": (lambda: mg.optim.SGD([leaf()], lr=0.5).state_dict()["settings"]["lr"], 0.5),
    "gan.losses": (lambda: mg.gan.losses.non_saturating(mg.tensor([-200.0])), 200.0),
    "gan.gradient_penalty": (lambda: mg.gan.gradient_penalty(lambda x: x.sum(axis=1), tensor(2, 4), tensor(2, 4)), 1.0),
    "gan.penalties": (lambda: mg.gan.penalties.r1(lambda x: x.sum(axis=1), tensor(2, 4)), 4.0),
    "gan.EMA": (averaged, 1.0),
    "gan.Captured": (lambda: mg.gan.Captured(lambda x, by: (by * x,))(tensor(2), by=3.0)[0], [3.0, 3.0]),
    "gan.InstanceNoise": (lambda: mg.gan.InstanceNoise(lambda x: x, 0.5).eval()(tensor(2)), [1.0, 1.0]),
    "gan.adversarial_step": (lambda: turns()["both"](), ()),
    "gan.discriminator_step": (lambda: turns()["d"](), ()),
    "gan.generator_step": (lambda: turns()["g"](), ()),
    "gan.models": (lambda: mg.gan.models.build("gan", 0)[0](tensor(2, 100)).shape, (2, 1, 28, 28)),
    "gan.Trainer": (trained, 1),
    "gan.load": (loaded_run, (2, 1, 28, 28)),
    "gan.Run.generator": (lambda: small_run().generator(tensor(2, 100)).shape, (2, 1, 28, 28)),
    "gan.Run.sample": (lambda: small_run().sample(2, seed=0).shape, (2, 1, 28, 28)),
    "data.digits": (lambda: mg.data.digits()[0].shape, (5000, 1, 28, 28)),
    "data.mnist": (lambda folder: mg.data.mnist("train", idx_files(folder))[0].shape, (3, 1, 28, 28)),
    "data.folder": (lambda folder: mg.data.folder(image_folder(folder), size=4).tolist(), [[[[1] * 4] * 4] * 3]),
    "data.fingerprint": (lambda: len(mg.data.fingerprint(np.zeros(3))), 16),
    "data.ring": (lambda: mg.data.ring(5, rng=0).shape, (5, 2)),
    "data.grid": (lambda: mg.data.grid(5, rng=0).shape, (5, 2)),
    "data.line": (lambda: mg.data.line(5, rng=0).shape, (5, 1)),
    "data.Loader": (lambda: len(mg.data.Loader(np.arange(5), batch_size=2)), 2),
    "metrics.Judge": (lambda: mg.metrics.Judge(*mg.metrics.judge_network(0)).features(black(2)).shape, (2, 64)),
    "metrics.Judge.features": (lambda: mg.metrics.judge().features(black(2)).shape, (2, 64)),
    "study.explain": (lambda: str(mg.study.explain(leaf() * 2.0)).splitlines()[0], "L = 6, back through 1 op"),
    "study.explain_step": (explained, "D's loss"),
    "study.lab": (lambda folder: sorted(mg.study.lab("ring", folder / "lab.html", steps=1)), ["modes", "near"]),
    "study.fool": (lambda: mg.study.fool(mg.ops.sum, -np.ones((1, 1, 1, 1)), eps=0.5, steps=2)[1], [-1.0, -0.75, -0.5]),
    "study.gradient_picture": (lambda: len(mg.study.gradient_picture(black(3), {"dL/dX": black(3)}).axes), 7),
    "study.image_gradient": (lambda: mg.study.image_gradient(mg.ops.sum, black(1))[1].sum(), 784.0),
    "study.graph": (lambda: mg.study.graph(leaf() * 2.0).dot().count(" -> "), 1),
    "study.record": (lambda: [row.op for row in mg.study.record((leaf() * 2.0).exp()).rows], ["exp", "mul"]),
    "study.Size": (lambda: mg.study.Size.of(np.array([3.0, -4.0])).norm, 5.0),
    "metrics.Judge.classify": (lambda: mg.metrics.judge().classify(np.ones((2, 64))).shape, (2, 10)),
    "metrics.Judge.probabilities": (lambda: mg.metrics.judge().probabilities(black(2)).shape, (2, 10)),
    "metrics.judge": (lambda: mg.metrics.judge().facts["version"], "1"),
    "metrics.judge_network": (lambda: len(mg.metrics.judge_network(0)[0].parameters()), 12),
    "metrics.Reference": (lambda: mg.metrics.Reference("black", black(8), held_back=False).features.shape, (8, 64)),
    "metrics.Reference.compare": (compared, 0.0),
    "metrics.reference": (lambda: mg.metrics.reference("digits").features.shape[1], 64),
    "metrics.frechet_distance": (lambda: mg.metrics.frechet_distance(np.eye(2), np.eye(2) + 3.0), 18.0),
    "metrics.precision_recall": (lambda: mg.metrics.precision_recall(np.eye(5), np.eye(5)), (1.0, 1.0)),
    "metrics.memorisation": (lambda: mg.metrics.memorisation(np.eye(2) / 2, np.eye(2), np.zeros((1, 2))), 0.5),
    "metrics.nearest": (lambda: mg.metrics.nearest(np.array([[0.9]]), np.array([[0.0], [1.0]])), [1]),
    "metrics.confidence": (lambda: mg.metrics.confidence([[0.25, 0.75]]), 0.75),
    "metrics.class_shares": (lambda: mg.metrics.class_shares([[0.25, 0.75]]), [0.0, 1.0]),
    "metrics.entropy_of_mean": (lambda: mg.metrics.entropy_of_mean([[0.0, 1.0]]), 0.0),
    "metrics.mean_entropy": (lambda: mg.metrics.mean_entropy([[0.0, 1.0]]), 0.0),
    "metrics.modes_covered": (lambda: mg.metrics.modes_covered([[0.0], [9.0]], [[0.0], [5.0]], 1.0), 1),
    "metrics.high_quality_share": (lambda: mg.metrics.high_quality_share([[0.0], [9.0]], [[0.0], [5.0]], 1.0), 0.5),
    "metrics.reverse_kl": (lambda: mg.metrics.reverse_kl([[0.0], [9.0]], [[0.0], [5.0]], 1.0), 0.0),
    "metrics.spread_ratio": (lambda: mg.metrics.spread_ratio([[0.5], [0.5]], [[0.0]], 1.0), 0.0),
}
