"""The inverse problem: operator A, signals X, measurements Y, and the oracle that knows the subspace.

Samples are rows: X is (samples, signal_dim) and Y is (samples, measurement_dim), the transposes of the paper's.
"""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..arrays import AnyArray, is_traced, known, namespace, numerical_rank, rounding
from ..checks import check_matrix, fail, warn
from ..draws import Tag, normal
from . import operators
from .signals import Subspace, subspace_of

Pairs = tuple[Float[AnyArray, "held_out signal_dim"], Float[AnyArray, "held_out measurement_dim"]]


class Problem(eqx.Module):
    """Signals to be recovered from fewer measurements, y = A x + e.

    `operator` is (measurement_dim, signal_dim), `signals` (samples, signal_dim), `measurements`
    (samples, measurement_dim); measurements left out are `signals @ operator.T`. The subspace of the signals (`latent`)
    is the generator's where there is one, otherwise read off `signals`: all they span, or the leading `subspace_dim`
    directions for signals that lie near a subspace; or it is given as `latent`. `held_out`, (signals, measurements) as
    rows, are pairs to test on: without them, metrics of fresh signals are in-sample where the subspace is read off
    `signals`. `measurement_rank`, the rank of the measurements, decides how far the data can be compressed without
    loss. `generated` says whether a generator of this package made the problem.

    Raises ArgumentError (a ValueError) for shapes that do not fit and for NaN or infinite entries. Warns where the
    signals span more dimensions than there are measurements: no linear map recovers them.
    """

    operator: Float[Array, "measurement_dim signal_dim"]
    signals: Float[Array, "samples signal_dim"]
    measurements: Float[Array, "samples measurement_dim"]
    latent: Subspace
    measurement_rank: int = eqx.field(static=True)
    noiseless: bool = eqx.field(static=True)
    held_out: Pairs | None
    generated: bool = eqx.field(static=True)
    in_sample: bool = eqx.field(static=True)
    """Whether metrics of fresh signals can only tell of the training signals."""

    def __init__(
        self,
        operator,
        signals,
        measurements=None,
        *,
        subspace_dim=None,
        latent=None,
        held_out=None,
        _rank=None,
        _generated=False,
    ):
        self.operator = operators.given(operator)
        check_matrix("signals", signals, "(samples, signal_dim)")
        self.signals = jnp.asarray(signals, self.operator.dtype)
        _check_columns("signals", self.signals, self.signal_dim, "signal_dim")
        if measurements is None:
            self.measurements = self.signals @ known(self.operator).T
        else:
            check_matrix("measurements", measurements, "(samples, measurement_dim)")
            self.measurements = jnp.asarray(measurements, self.operator.dtype)
        _check_columns("measurements", self.measurements, self.measurement_dim, "measurement_dim")
        if len(self.measurements) != len(self.signals):
            raise fail("measurements", f"{len(self.signals)} rows, one for each signal",
                       f"{len(self.measurements)} rows", "pass signals and measurements in the same order")  # fmt: skip
        self.latent = subspace_of(signals, subspace_dim) if latent is None else latent
        self.held_out = None if held_out is None else self._checked_pairs(held_out)
        self.generated = _generated
        self.in_sample = latent is None and held_out is None
        # measurements without noise span range(A R): what the closed form of the off-subspace error rests on
        self.noiseless = measurements is None or _is_product(measurements, signals, operator)
        given = [self.operator, *(array for array in (operator, signals, measurements) if array is not None)]
        self.measurement_rank = _rank or _measured_rank(signals, operator, measurements, max(map(rounding, given)))
        if (s := self.subspace_dim) > (m := self.measurement_dim):
            what, advice = f"signals span {s} dimensions", "pass subspace_dim if they lie near a smaller one"
            if latent is not None:
                advice = "take fewer dimensions, or more measurements"
            elif subspace_dim is not None:
                what, advice = f"subspace_dim is {s}", f"pass {m} or less if they lie near so small a one"
            warn(f"{what}, measurements {m}: no linear map recovers them, metrics of the subspace are NaN; {advice}")

    def _checked_pairs(self, held_out: Any) -> Pairs:
        """`held_out` as arrays of the operator's float type; ArgumentError where they do not fit."""
        try:
            pair = tuple(held_out)
        except TypeError:
            pair = ()
        if len(pair) != 2:
            got = type(held_out).__name__ + (f" of {len(pair)}" if pair else "")
            raise fail("held_out", "a pair (signals, measurements)", got, "pass held_out=(signals, measurements)")
        arrays = []
        for what, rows, columns in zip(("signal", "measurement"), pair, self.operator.shape[::-1], strict=True):
            check_matrix(f"held_out {what}s", rows, f"(held_out, {what}_dim)")
            arrays.append(jnp.asarray(rows, self.operator.dtype))
            _check_columns(f"held_out {what}s", arrays[-1], columns, f"{what}_dim")
        signals, measurements = arrays
        if len(measurements) != len(signals):
            raise fail("held_out measurements", f"{len(signals)} rows, one for each held-out signal",
                       f"{len(measurements)} rows", "pass them in the same order")  # fmt: skip
        return signals, measurements

    @property
    def signal_dim(self) -> int:
        """Entries of a signal, d."""
        return self.operator.shape[1]

    @property
    def measurement_dim(self) -> int:
        """Measurements of a signal, m."""
        return self.operator.shape[0]

    @property
    def subspace_dim(self) -> int:
        """Dimension of the subspace the signals lie on, s."""
        return self.latent.spectrum.shape[0]

    @property
    def samples(self) -> int:
        """Training pairs, n."""
        return self.signals.shape[0]

    @property
    def tests_on_pairs(self) -> bool:
        """Whether metrics of fresh signals are those of the held-out pairs; a generator's law is known exactly."""
        return self.held_out is not None and not self.generated

    @property
    def signal_extremes(self) -> tuple[Any, Any]:
        """The largest and the smallest non-zero singular value of X (they set step size and weight decay).

        Bounds on them where a generator made fewer samples than subspace_dim, unless its condition number is 1.
        """
        root = max(self.samples, self.subspace_dim) ** 0.5
        return self.latent.spectrum[0] * root, self.latent.spectrum[-1] * root

    @property
    def oracle(self) -> Float[AnyArray, "signal_dim measurement_dim"]:
        """R (A R)^+, the least-norm map that recovers every signal of the subspace; NaN where none does.

        None does where A R lacks full column rank.
        """
        return self.latent.basis @ oracle_inverse(self.operator @ self.latent.basis)

    def noise_variance(self, noise: float) -> Float[Array, ""]:
        """sigma_e^2, the variance of each entry of e at relative `noise` = sqrt(E||e||^2 / E||A x||^2)."""
        power = jnp.sum((self.operator @ self.latent.covariance_root) ** 2)
        return noise**2 * power / self.measurement_dim

    def test_data(
        self, key: Key[Array, ""], samples: int, noise: float = 0.0
    ) -> tuple[Float[Array, "samples signal_dim"], Float[Array, "samples measurement_dim"]]:
        """Fresh signals of the training law and their measurements, with relative `noise` of their own."""
        signals = self.latent.sample(key, samples)
        unit = normal(key, (samples, self.measurement_dim), Tag.TEST_NOISE)
        return signals, signals @ known(self.operator).T + unit * jnp.sqrt(self.noise_variance(noise))


def oracle_inverse(measured):
    """(A R)^+ for `measured` = A R, or NaN where A R (m, s) lacks full column rank."""
    xp = namespace(measured)
    m, s = measured.shape
    inverse = xp.linalg.pinv(measured)
    if s > m:
        return xp.full_like(inverse, xp.nan)
    values = xp.linalg.svd(measured, compute_uv=False)
    return xp.where(values[-1] > values[0] * m * xp.finfo(measured.dtype).eps, inverse, xp.nan)


def _is_product(measurements, signals, operator) -> bool:
    """Whether given measurements are those of the signals to rounding; False where the numbers are traced."""
    if is_traced(measurements, signals, operator):
        return False
    y, x, a = (np.asarray(array, np.float64) for array in (measurements, signals, operator))
    return bool(np.linalg.norm(y - x @ a.T) <= rounding(measurements) * np.linalg.norm(y))


def _measured_rank(signals, operator, measurements, tolerance: float) -> int:
    """Numerical rank of the measurements as they were given; the full rank where the numbers are traced."""
    if is_traced(signals, operator, measurements):
        return min(len(signals), len(operator))
    if measurements is None:
        measurements = np.asarray(signals, np.float64) @ np.asarray(operator, np.float64).T
    values = np.linalg.svd(np.asarray(measurements, np.float64), compute_uv=False)
    return max(1, numerical_rank(values, tolerance))


def _check_columns(name: str, array, columns: int, what: str) -> None:
    if array.shape[1] != columns:
        raise fail(name, f"of shape (samples, {what}) with {what} = {columns}", f"shape {array.shape}",
                   "rows are samples: transpose, or check the operator")  # fmt: skip
