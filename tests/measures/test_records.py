"""After which steps metrics are taken."""

import pytest

from jaxinv.measures.records import record_steps


def test_record_steps_are_zero_and_a_rounded_geometric_grid():
    assert record_steps(1000, 5).tolist() == [0, 1, 10, 100, 1000]
    assert record_steps(5, 60).tolist() == [0, 1, 2, 3, 4, 5]
    assert record_steps(7, 2).tolist() == [0, 7]
    for steps, records in ((0, 5), (5, 1), (5, 0)):
        with pytest.raises(ValueError, match="must be"):
            record_steps(steps, records)
