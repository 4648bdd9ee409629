"""Short benches: what is tested is what they print and refuse, and never how fast anything is."""

from importlib.util import find_spec

import pytest

from minigan.bench.compare import Options

SHORT = Options(threads=1, batch=4, blocks=2, seconds=0.001)
needs_torch = pytest.mark.skipif(
    find_spec("torch") is None, reason="PyTorch is not installed: pip install 'minigan[bench]'"
)
