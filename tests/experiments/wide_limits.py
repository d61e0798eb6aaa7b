"""The limit of infinite width, which the judges of wide networks ask for again and again, computed once."""

import numpy as np
import pytest

from jaxinv.measures import predictions

KEPT = {}


@pytest.fixture(autouse=True)
def limits_once(monkeypatch):
    """`predictions.wide_steps_to` with what it found for the same step sizes and problems kept."""
    find = predictions.wide_steps_to

    def kept(build, step_size, level, **where):
        # where in a grid, not what was recorded
        places = [np.asarray(value).tolist() for value in (*where.values(), step_size, step_size["seed"])]
        key = str((build.__self__.grid.fixed, level, step_size.dims, places))
        if key not in KEPT:
            KEPT[key] = find(build, step_size, level, **where)
        return KEPT[key]

    monkeypatch.setattr(predictions, "wide_steps_to", kept)
