"""Every bug can still be planted: its text stands in the code, once."""

import engine_laws
import pytest
from layers import BUGS

PACKAGE = engine_laws.ROOT / "minigan"


@pytest.mark.parametrize("bug", [*engine_laws.MUTANTS, *BUGS], ids=lambda bug: bug.what.replace(" ", "-"))
def test_what_a_bug_replaces_is_there_once(bug):
    assert (PACKAGE / bug.file).read_text().count(bug.old) == 1
