"""The planner: what it tells of a network is what the network does."""

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigan as mg
from minigan.errors import RunError, ShapeError
from minigan.gan import models
from minigan.gan.planner import plan

arguments = st.fixed_dictionaries(
    {"model": st.sampled_from(models.MODELS), "size": st.integers(1, 40), "channels": st.integers(1, 3)},
    optional={"width": st.integers(1, 3), "critic": st.booleans(), "latent": st.integers(1, 5)},
).map(lambda drawn: {"width": 2} | drawn)


def seen(summary):
    """Its rows, but for how a layer's settings are written."""
    return [(row.path, row.layer.partition("(")[0], row.output, row.parameters) for row in summary.rows]


def planned(summary, n):
    """The same, for a batch of n."""
    return [(path, layer, output.replace("N", str(n)), parameters) for path, layer, output, parameters in seen(summary)]


@settings(max_examples=20)
@given(arguments)
def test_a_plan_is_what_a_forward_pass_does_and_a_size_without_a_plan_has_no_model(asked):
    try:
        found = plan(**asked)
    except ShapeError as error:
        with pytest.raises(ShapeError, match=f"^{re.escape(str(error))}$"):
            models.build(rng=0, **asked)
        return
    g, d = models.build(rng=0, **asked)
    size, channels = asked["size"], asked["channels"]
    for summary, network, shape in (
        (found.generator, g, (2, asked.get("latent", models.LATENT))),
        (found.discriminator, d, (2, channels, size, size)),
    ):
        real = mg.nn.summary(network, shape)
        assert planned(summary, 2) == seen(real)
        assert summary.total == real.total


@given(st.integers(1, 600))
def test_a_dcgan_is_planned_for_every_size_that_doubling_makes_and_no_other(size):
    base = size
    doublings = 0
    while base > 7 or doublings == 0:
        if base % 2:
            with pytest.raises(ShapeError, match=f"no DCGAN has {size} x {size} images"):
                plan("dcgan", size)
            return
        base, doublings = base // 2, doublings + 1
    rows = plan("dcgan", size).generator.rows
    assert sum(row.layer.startswith("ConvTranspose2d") for row in rows) == doublings
    assert rows[-1].output == f"(N, 1, {size}, {size})"


def test_memory_counts_every_output_once_in_g_and_twice_in_d():
    """By hand for a latent of 5, width 1 and images of 2 x 2: layers that only change the shape hold nothing of their own."""
    found = plan("gan", size=2, width=1, latent=5)
    g, d = 4 + 4 + 8 + 8 + 4 + 4, 8 + 8 + 4 + 4 + 1
    parameters = (5 * 4 + 4) + (4 * 8 + 8) + (8 * 4 + 4) + (4 * 8 + 8) + (8 * 4 + 4) + (4 * 1 + 1)
    assert found.memory(batch_size=3) == (3 * 4 * (g + 2 * d), 4 * 4 * parameters)
    assert found.memory(batch_size=6)[0] == 2 * found.memory(batch_size=3)[0]


def test_a_network_that_no_machine_holds_is_planned():
    found = plan("dcgan", size=2**14, channels=3)
    assert found.generator.rows[-1].output == "(N, 3, 16384, 16384)"
    assert found.generator.trainable > 10**11


def test_the_table_says_what_was_asked_for_and_has_every_layer():
    text = str(plan("dcgan", size=12, channels=3, width=8))
    assert text.startswith("dcgan for 12 x 12 images with 3 channels, width 8\n\nG\npath  layer ")
    assert str(plan("gan", size=3)).startswith("gan for 3 x 3 images with 1 channel, width 64\n")
    generator, discriminator = text.split("\nD\n")
    assert re.search(
        r"^4 +ConvTranspose2d\(8, 3, 4, stride=2, padding=1\) +\(N, 3, 12, 12\) +387$", generator, re.MULTILINE
    )
    assert re.search(r"^0 +Conv2d\(3, 8, 4, stride=2, padding=1\) +\(N, 8, 6, 6\) +392$", discriminator, re.MULTILINE)


def test_a_model_that_there_is_not():
    with pytest.raises(RunError, match="model must be one of gan, dcgan, got 'vae'"):
        plan("vae")


@pytest.mark.host
def test_the_command_prints_the_plan_or_why_there_is_none():
    command = [sys.executable, "-c", "from minigan.cli import main; main()", "plan", "dcgan", "--width", "8"]
    ask = lambda *more: subprocess.run([*command, *more], capture_output=True, text=True, timeout=120)
    done = ask("--size", "24", "--channels", "3", "--critic", "--batch-size", "32")
    found = plan("dcgan", size=24, channels=3, width=8, critic=True)
    outputs, parameters = found.memory(32)
    last = f"a step with a batch of 32 keeps about {outputs / 1e6:.1f} MB of outputs;\n"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{found}\n\n{last}")
    assert f"take {parameters / 1e6:.1f} MB\n" in done.stdout
    with pytest.raises(ShapeError) as refused:
        plan("dcgan", size=30, width=8)
    done = ask("--size", "30")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"minigan: error: {refused.value}\n")
