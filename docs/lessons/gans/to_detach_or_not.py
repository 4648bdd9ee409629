r"""
To detach or not to detach
==========================

Both players' losses run through both networks, and each should move only its own player. Who receives a gradient is decided
by where the graph is cut and by what is asked for:

- in **D's turn** the generated images are constants, ``fake.detach()``: nothing walks back into G;
- in **G's turn** D must *not* be cut off, as its slope at the image is all that G learns from. But nobody needs the gradients
  of D's weights. minigan asks for what is wanted, the gradient of the image, and carries that on into G:

.. code-block:: python

   d_loss(D(real), D(fake.detach())).backward();  opt_d.step()

   dL_dX = mg.grad(g_loss(D(fake)), fake)  # the only message that D ever sends to G
   fake.backward(dL_dX);  opt_g.step()

:func:`minigan.study.record` writes down what each way computes. A column is one parameter, darker for a larger gradient:
"""

import re
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np

import minigan as mg

rng = np.random.default_rng(0)
losses = mg.gan.losses
G, D = mg.gan.models.build("gan", rng=0, width=16)
images, _ = mg.data.digits()
real = mg.tensor(images[:32])
z = mg.tensor(rng.standard_normal((32, 100), dtype="float32"))
fake = G(z)

passes = {
    "D's loss, fake.detach()": mg.study.record(
        losses.discriminator(D(real), D(fake.detach()))
    ),
    "D's loss, no detach": mg.study.record(losses.discriminator(D(real), D(fake))),
    "G's loss, one long backward": mg.study.record(losses.non_saturating(D(fake))),
}
loss = losses.non_saturating(D(fake))
dL_dX = mg.grad(loss, fake, retain_graph=True)
passes["G's loss, grad(loss, fake)"] = mg.study.record(loss, fake)
passes["... then fake.backward(dL_dX)"] = mg.study.record(fake, gradient=dL_dX)

names = [
    f"{player}.{name}"
    for player, net in (("G", G), ("D", D))
    for name, _ in net.named_parameters()
]
norms = np.full((len(passes), len(names)), np.nan)
print(f"{'':32s}ops that ran    G's gradients    D's gradients")
for i, (title, record) in enumerate(passes.items()):
    for leaf in record.leaves:
        if leaf.name in names and leaf.total is not None:
            norms[i, names.index(leaf.name)] = leaf.total.norm
    ran = sum(row.computed for row in record.rows)
    of_g, of_d = (int(np.isfinite(part).sum()) for part in np.split(norms[i], 2))
    print(f"{title:32s}{ran:8d} {of_g:12d} of 6 {of_d:12d} of 6")

fig, ax = plt.subplots(figsize=(6.4, 2.7), layout="constrained")
logs = np.log10(norms)
shown = ax.pcolormesh(
    logs, cmap="Blues", edgecolors="0.8", lw=0.5, vmin=np.nanmin(logs) - 1
)
ax.set_xticks(np.arange(len(names)) + 0.5, names, rotation=60, ha="right")
ax.set_yticks(np.arange(len(passes)) + 0.5, passes)
ax.axvline(6, color="0.2")
ax.invert_yaxis()
fig.colorbar(shown, label="log10 of the norm")

# %%
# White is: never computed. Without the detach D's turn walks all the way back through G. With one long backward G's turn computes
# a gradient for each of D's weights, of a loss that D should not follow. Asked for the image alone, the walk leaves them out, and
# says so:

record = passes["G's loss, grad(loss, fake)"]
for row in record.rows:
    for sent in row.sent:
        if row.op == "linear" and row.module.startswith("D"):
            print(
                f"{row.module:6s} to {sent.input:7s}",
                f"norm {sent.size.norm:.4f}" if sent.size else sent.why,
            )

# %%
# Is it the same gradient?
# ------------------------
#
# The two ways call the same rules with the same numbers, one of them in two parts. Then G's weights can't differ, not even in
# the last bit:

G_params = G.parameters()
losses.non_saturating(D(G(z))).backward()
at_once = [p.grad.numpy().copy() for p in G_params]
for p in G_params + D.parameters():
    p.grad = None

fake = G(z)
fake.backward(mg.grad(losses.non_saturating(D(fake)), fake))
in_parts = [p.grad.numpy() for p in G_params]
print(
    "largest difference:",
    max(abs(a - b).max() for a, b in zip(at_once, in_parts, strict=True)),
)

# %%
# And what if nothing was cut in D's turn? G's weights then hold a gradient of *D's* loss. A G that steps along it helps D to
# tell its images apart: it is the gradient of minimax, turned round.

flat = lambda grads: np.concatenate([g.numpy().ravel() for g in grads])
length = np.linalg.norm
cosine = lambda a, b: a @ b / (length(a) * length(b))
from_d = flat(mg.grad(losses.discriminator(D(real), D(G(z))), G_params))
minimax = flat(mg.grad(losses.minimax(D(G(z))), G_params))
print(f"the cosine between them: {cosine(from_d, minimax):.6f}")

# %%
# Ask why
# -------
#
# Where a gradient is None :func:`minigan.why` has the reason. The first is a weight of D's after G's turn, the second an image.
# The last asks for a gradient through the cut:

short = lambda text: re.sub(r"\S*[\\/](?=\w+\.py:)", "", str(text))  # without folders
say = lambda text: print(fill(short(text), 84), "\n")

fake.name = "fake"
say(mg.why(D.parameters()[0]))
say(mg.why(fake))
say(mg.why(fake.detach()))
try:
    mg.grad(losses.discriminator(D(real), D(fake.detach())), fake)
except mg.errors.MissingGradient as error:
    say(error)

# %%
# What a forgotten zero_grad does
# -------------------------------
#
# ``backward`` *adds* to what a weight already holds. If D's gradients are not cleared, its turn steps along the sum of all that
# came before, and after a long backward in G's turn that sum has G's wishes in it. Three steps of each kind; "held" is what
# D's optimiser is given, "due" what D's loss asks for now:


def three_steps(clear):
    G, D = mg.gan.models.build("gan", rng=0, width=16)
    opt_g, opt_d = (mg.optim.SGD(net.parameters(), lr=0.05) for net in (G, D))
    for _ in range(3):
        fake = G(z)
        loss_d = losses.discriminator(D(real), D(fake.detach()))
        due = flat(mg.grad(loss_d, D.parameters(), retain_graph=True))
        if clear:
            opt_d.zero_grad()
        loss_d.backward()
        held = flat([p.grad for p in D.parameters()])
        opt_d.step()

        opt_g.zero_grad()
        losses.non_saturating(D(fake)).backward()  # reaches D's weights, too
        opt_g.step()
        yield length(held) / length(due), cosine(held, due)


fig, axes = plt.subplots(1, 2, figsize=(6.4, 2.4), layout="constrained")
print("step    |held| / |due|    cosine of the two")
kinds = ("cleared", True, "#0072B2"), ("forgotten", False, "#D55E00")
for label, clear, colour in kinds:
    rows = np.array(list(three_steps(clear)))
    for step, (ratio, angle) in enumerate(rows, 1):
        print(f"{step:4d} {ratio:14.2f} {angle:18.3f}    zero_grad {label}")
    for ax, values in zip(axes, rows.T, strict=True):
        ax.plot([1, 2, 3], values, "o-", color=colour, label=f"zero_grad {label}")
for ax, name in zip(axes, ("|held| / |due|", "cosine of held and due"), strict=True):
    ax.set(xlabel="step", ylabel=name, xticks=(1, 2, 3))
axes[0].legend()

# %%
# Nothing complains: a direction that is somewhat wrong still moves the weights. In the way of the first screen D's weights never
# hold anything of G's loss, so that there is one mistake less to make; :func:`minigan.gan.adversarial_step` clears both
# players' gradients itself.
#
# The classic bug: a step in between
# ----------------------------------
#
# A loss computed before D's step and differentiated after it mixes two Ds: the forward pass saw the old weights, the backward
# pass would multiply by the new ones. minigan keeps count of changes and refuses:

opt_d = mg.optim.Adam(D.parameters(), lr=1e-3)
fake = G(z)
loss_d = losses.discriminator(D(real), D(fake.detach()))
loss_g = losses.non_saturating(D(fake))  # too early
loss_d.backward()
opt_d.step()
try:
    loss_g.backward()
except mg.errors.InPlaceChange as error:
    say(error)

# %%
# The mending is to ask D again, ``losses.non_saturating(D(fake))`` after its step. G need not run again: nothing of G's has
# changed, and the same ``fake`` still remembers how it was made.
#
# Two questions
# -------------
#
# **Could G run under no_grad in place of the detach?** For D's turn, yes: the same constants go in. But such images don't
# remember G, and G's turn can't use them. It would have to draw new ones.

with mg.no_grad():
    forgetful = G(z)
print("the same images:", np.array_equal(forgetful.numpy(), fake.numpy()))
try:
    mg.grad(losses.non_saturating(D(forgetful)), forgetful)
except mg.errors.MissingGradient as error:
    say(error)

# %%
# **Is freezing D's weights as good as asking for dL/dX?** Yes. :func:`minigan.nn.frozen` makes them constants, and the long
# backward has nothing to compute for them: the same rules run.

with mg.nn.frozen(D):
    frozen = losses.non_saturating(D(G(z)))
ran = sum(row.computed for row in mg.study.record(frozen).rows)
message = losses.non_saturating(D(fake))
in_d = sum(row.computed for row in mg.study.record(message, fake).rows)
in_g = sum(
    row.computed for row in mg.study.record(fake, gradient=mg.grad(message, fake)).rows
)
print(f"ops that ran: {ran} with D frozen, {in_d} + {in_g} in two parts")
opt_d.zero_grad()
frozen.backward()
print("gradients at D's weights:", sum(p.grad is not None for p in D.parameters()))
