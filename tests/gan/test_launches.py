"""What one adversarial step asks of a device: how many kernels it launches, and that the host reads nothing."""

import numpy as np
import pytest

import minigan as mg
from minigan.gan import Given, adversarial_step, losses, models
from minigan.optim import Adam
from minigan.testing import STRICT

LAUNCHES = {  # of the plain kernels; to be lowered, never raised without a reason written here
    # 14 of each: both Adams count on the device, and correct their means there, so that a recorded step counts on
    ("gan", None): 204,
    ("dcgan", None): 555,
    ("dcgan", "projection"): 765,  # a table's gradient is sorted and summed in a few dozen
    ("dcgan", "concatenation"): 764,
}


def step_of(model, condition):
    """One step of a model on the strict backend, as a function."""
    generator, discriminator = models.build(model, 0, classes=condition and 10, condition=condition or "projection")
    optimizers = [Adam(player.parameters(), 2e-4, (0.5, 0.999)) for player in (generator, discriminator)]
    rng = np.random.default_rng(0)
    real, z = (mg.tensor(rng.normal(size=s).astype("float32")) for s in ((4, 1, 28, 28), (4, 100)))
    if condition:
        labels = np.array([3, 1, 4, 1])
        generator, discriminator = Given(generator, labels), Given(discriminator, labels)
    return lambda: adversarial_step(
        generator, discriminator, *optimizers, real, z, losses.discriminator, losses.non_saturating
    )


@pytest.mark.parametrize(("model", "condition"), LAUNCHES)
def test_a_step_launches_no_more_than_is_committed_and_the_host_reads_nothing(model, condition):
    with mg.backend("strict"):
        step = step_of(model, condition)
        for _ in range(2):
            launches, reads = STRICT.launches, STRICT.host_reads
            loss_d, loss_g = step()
            assert STRICT.host_reads == reads
            assert STRICT.launches - launches <= LAUNCHES[model, condition]
        assert np.isfinite([loss_d.item(), loss_g.item()]).all()
        assert STRICT.host_reads == reads + 2  # which counts, then, when there are any
