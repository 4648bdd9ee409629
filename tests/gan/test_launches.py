"""What one adversarial step asks of a device: how many kernels it launches, and that the host reads nothing."""

import numpy as np
import pytest

import minigan as mg
from minigan.gan import adversarial_step, losses, models
from minigan.optim import Adam
from minigan.testing import STRICT

LAUNCHES = {"gan": 190, "dcgan": 541}  # of the plain kernels; to be lowered, never raised without a reason written here


def step_of(model):
    """One step of a model on the strict backend, as a function."""
    generator, discriminator = models.build(model, 0)
    optimizers = [Adam(player.parameters(), 2e-4, (0.5, 0.999)) for player in (generator, discriminator)]
    rng = np.random.default_rng(0)
    real, z = (mg.tensor(rng.normal(size=s).astype("float32")) for s in ((4, 1, 28, 28), (4, 100)))
    return lambda: adversarial_step(
        generator, discriminator, *optimizers, real, z, losses.discriminator, losses.non_saturating
    )


@pytest.mark.parametrize("model", LAUNCHES)
def test_a_step_launches_no_more_than_is_committed_and_the_host_reads_nothing(model):
    with mg.backend("strict"):
        step = step_of(model)
        for _ in range(2):
            launches, reads = STRICT.launches, STRICT.host_reads
            loss_d, loss_g = step()
            assert STRICT.host_reads == reads
            assert STRICT.launches - launches <= LAUNCHES[model]
        assert np.isfinite([loss_d.item(), loss_g.item()]).all()
        assert STRICT.host_reads == reads + 2  # which counts, then, when there are any
