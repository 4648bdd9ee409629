"""No check raises on any shipped layer, whatever its settings and inputs: the long run.

HYPOTHESIS_PROFILE=nightly python -m pytest tests/testing/test_nightly.py -n 2
"""

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from minigan.testing import CHECKS, check_layer, layers

EXAMPLES = {
    "check_grads": 5000,
    "check_second_order": 5000,
}  # layers with settings and inputs; of each other check 1,000
PART = 250  # examples a test, so that the parts can run side by side
PARTS = [(name, i) for name in CHECKS for i in range(-(-EXAMPLES.get(name, 1000) // PART))]


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "part"), PARTS)
def test_no_check_raises_on_a_shipped_layer(name, part):
    others = [other for other in CHECKS if other != name]

    @seed(part)
    @settings(
        max_examples=PART,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[HealthCheck.too_slow],  # a check takes its time
    )
    @given(layers(), st.integers(0, 2**32 - 1))
    def run(case, rng):
        factory, shape = case
        check_layer(factory, input=shape, skip=others, rng=rng)

    run()
