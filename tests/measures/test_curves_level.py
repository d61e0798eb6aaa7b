"""What another curve is where one reaches a level."""

import numpy as np
import xarray

from jaxinv.measures import curves


def test_the_other_curve_is_read_at_the_first_record_that_reaches_the_level():
    rng = np.random.default_rng(0)
    fit, other = rng.uniform(size=(2, 4, 3, 9))
    fit[0, 0] = 1.0  # never
    axes, step = ("gamma", "seed", "record"), ("record", np.arange(9))
    one, two = (xarray.DataArray(rows, dims=axes, coords={"step": step}) for rows in (fit, other))
    found = curves.at_level(one, two, 0.3)
    assert found.dims == ("gamma", "seed")
    for at in np.ndindex(4, 3):
        reached = np.flatnonzero(fit[at] <= 0.3)
        assert np.array_equal(found.values[at], other[at][reached[0]] if len(reached) else np.nan, equal_nan=True)
