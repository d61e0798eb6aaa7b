"""After which steps metrics are taken, and what may be one."""

import numpy as np
import pytest

import jaxinv as ji
from jaxinv.measures.records import check_metrics, record_steps


def test_record_steps_are_zero_and_a_rounded_geometric_grid():
    assert record_steps(1000, 5).tolist() == [0, 1, 10, 100, 1000]
    assert record_steps(5, 60).tolist() == [0, 1, 2, 3, 4, 5]
    assert record_steps(7, 2).tolist() == [0, 7]
    for steps, records in ((0, 5), (5, 1), (5, 0)):
        with pytest.raises(ValueError, match="must be"):
            record_steps(steps, records)


@pytest.mark.parametrize("name", ["step_size", "diverged", "precision_bits", "step", "record", "a/b", "..", ""])
def test_names_that_the_results_use_or_cannot_hold_are_refused(name):
    with pytest.raises(ji.ArgumentError, match="the name of a metric must be a word that the results do not use"):
        check_metrics([ji.Metric(name, lambda coordinates, network: 1.0)])


def test_metrics_that_share_an_axis_share_its_values():
    own = ji.Metric("mine", lambda coordinates, network: np.zeros(2), ("noise",))
    with pytest.raises(ji.ArgumentError, match="axis 'noise' of metric 'mine' must be that of the others"):
        check_metrics([ji.NoisyError([0.1, 1.0]), own])
    check_metrics([own, ji.Metric("other", lambda coordinates, network: np.zeros(2), ("noise",))])


@pytest.mark.parametrize("records", [[0, 1.7, 20], ["0", "20"]])
def test_records_are_whole_numbers(records):
    with pytest.raises(ji.ArgumentError, match="records must be whole numbers of steps"):
        record_steps(20, records)
