"""Signals on a union of subspaces against their definition."""

from typing import Any

import jax
import numpy as np
import pytest

import jaxinv as ji
from jaxinv.measures.metrics import error_halves
from jaxinv.problems.coordinates import plain_coordinates
from jaxinv.problems.unions import UnionOfSubspaces

from ..helpers import union


def members(problem):
    assert isinstance(problem.latent, UnionOfSubspaces)
    return problem.latent.members


def distances(signals, basis):
    """How far each row is from the span of the basis."""
    return np.linalg.norm(signals - signals @ basis @ basis.T, axis=1)


def test_each_signal_lies_on_its_member():
    problem: Any = union(samples=11)
    for rows in (problem.signals, problem.held_out[0]):
        member = problem.latent.membership(len(rows))
        assert np.ptp(np.bincount(member)) <= 1
        apart = np.array([distances(rows, each.basis) for each in members(problem)])
        assert apart[member, np.arange(len(rows))].max() < 1e-12
        assert apart.min(axis=0).max() < 1e-12
        assert np.sort(apart, axis=0)[1].min() > 1e-3  # and on no other


def test_its_second_moments_are_those_of_the_members():
    problem = union(condition_number=3.0)
    latent = problem.latent
    mean = sum(np.asarray(each.covariance_root @ each.covariance_root.T) for each in members(problem)) / 3
    np.testing.assert_allclose(latent.covariance_root @ latent.covariance_root.T, mean, atol=1e-14)
    np.testing.assert_allclose(latent.basis.T @ latent.basis, np.eye(6), atol=1e-14)
    assert (np.diff(latent.spectrum) <= 0).all()


def test_training_signals_have_exactly_these_moments():
    problem = union(condition_number=2.0, samples=30)
    covariance = problem.latent.covariance_root @ problem.latent.covariance_root.T
    np.testing.assert_allclose(problem.signals.T @ problem.signals / 30, covariance, atol=1e-13)
    largest, smallest = problem.signal_extremes
    values = np.linalg.svd(problem.signals, compute_uv=False)
    np.testing.assert_allclose([values[0], values[5]], [largest, smallest], rtol=1e-12)


def test_fresh_signals_come_near_them_and_so_does_the_closed_form_error_of_a_linear_map():
    problem = union()
    signals, measurements = (np.asarray(array) for array in problem.test_data(jax.random.key(5), 20_000))
    covariance = problem.latent.covariance_root @ problem.latent.covariance_root.T
    np.testing.assert_allclose(signals.T @ signals / 20_000, covariance, atol=0.02)
    network = ji.layer_product(jax.random.key(1), problem, width=20, depth=2)
    error = np.linalg.norm(measurements @ np.asarray(network.end_to_end()).T - signals) / np.linalg.norm(signals)
    assert abs(error / float(error_halves(plain_coordinates(problem), network.end_to_end())[0]) - 1) < 0.02


def test_a_union_that_spans_more_than_the_measurements_has_no_linear_oracle():
    with pytest.warns(UserWarning, match="span 10 dimensions, measurements 9"):
        problem = union(subspaces=5, held_out=10)
    assert np.isnan(problem.oracle).all()
