"""Network Tikhonov (NETT): data are fitted while a trained network sees no artifact in the image.

Li, Schwab, Antholzer and Haltmeier (arXiv 1803.00092), the abstract: an image is reconstructed from y = A x + noise as
a minimiser of

    J(x) = 1/2 ||A x - y||^2 + alpha R(x),    R(x) = ||N(x)||^2,

N a residual network that was trained to give what a clean image differs by: N(FBP(y)) = x - FBP(y), N(x) = 0. The same
weights, used once, are the post-processing network FBP(y) + N(FBP(y)), whose image need not explain y. Their programs
[read] alternate explicit steps on the data and on R; `minimised` alternates too, the step on the data taken to its end
[ours]: explicit steps need of the order of 1/alpha iterations, too many where alpha falls with the noise. [ours], too:
white noise beside the artifacts in training; without it minimisers are far worse than images on the way there.

Images are rows of size^2 numbers, samples first, as in `problems.imaging`. Sizes and numbers are [ours].
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key

from ..arrays import AnyArray
from ..draws import Tag, normal
from ..problems import imaging

Images = Float[AnyArray, "samples signal_dim"]
Data = Float[AnyArray, "samples measurement_dim"]

SOLVERS = ("fbp", "tv", "post", "nett")
"""What is compared: filtered back-projection, total variation, the network used once, and NETT."""

PICTURED = 0.01
"""The relative noise of the pictures, at which methods are tuned and compared."""

SMOOTHING = 0.01
"""That of the total variation."""

FACTORS = {"tv": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3), "nett": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)}
"""The c of alpha = c noise to choose from."""

STEP = 0.3
"""The step size on R, whose gradient has Lipschitz constant 2 where N takes off all that is not clean."""

TRAINING_NOISE, WHITE_NOISE = 0.05, 0.1
"""The largest relative noise of measurements in training, and standard deviation of white noise on images."""


BATCH, RATE = 16, 2e-3
"""Images in a step of training, and the first rate of Adam."""


class Scan(NamedTuple):
    """An operator of norm 1, its filtered back-projection, and its singular vectors and values above 1e-6."""

    operator: Float[AnyArray, "measurement_dim signal_dim"]
    back_projection: Float[AnyArray, "signal_dim measurement_dim"]
    left: Float[AnyArray, "measurement_dim rank"]
    values: Float[AnyArray, "1 rank"]
    right: Float[AnyArray, "signal_dim rank"]


def scan(size: int, angles: int) -> Scan:
    """The Radon transform at `angles` angles over its norm."""
    operator, back_projection = imaging.radon(size, angles), imaging.filtered_back_projection(size, angles)
    left, values, right = np.linalg.svd(operator, full_matrices=False)
    kept = values > 1e-6 * values[0]
    scale = values[0]
    return Scan(operator / scale, back_projection * scale, left[:, kept], values[None, kept] / scale, right[kept].T)


def measured(directions: Data, operator: AnyArray, images: Images, noise: Any) -> Data:
    """A x + e for each image, e along its direction and of norm `noise` times that of A x; `noise` one or a column."""
    exact = images @ operator.T
    return exact + noise * directions * (lengths(exact) / lengths(directions))[:, None]


def lengths(rows: Float[AnyArray, "samples any"]) -> Float[Array, " samples"]:
    """The norm of each row."""
    return jnp.linalg.norm(rows, axis=1)


class Encoder(eqx.Module):
    """N: convolutions with 3 x 3 taps, the first to some channels, residual blocks of two with a CELU before each, the
    last to one. `kernels` are (taps x channels in, channels out); there are no biases. Computed in their float type.
    """

    kernels: tuple[Float[Array, "taps channels"], ...]

    def __call__(self, images: Images) -> Float[Array, "samples signal_dim"]:
        """N of each image, in the float type of the images."""
        size = round(images.shape[1] ** 0.5)
        first, *blocks, last = self.kernels
        hidden = convolved(jnp.asarray(images, first.dtype).reshape(-1, size, size, 1), first)
        for inner, outer in zip(blocks[::2], blocks[1::2], strict=True):
            hidden = hidden + convolved(jax.nn.celu(convolved(jax.nn.celu(hidden), inner)), outer)
        return convolved(jax.nn.celu(hidden), last).reshape(images.shape).astype(images.dtype)


def convolved(
    images: Float[Array, "samples size size channels_in"], kernel: Float[Array, "taps channels_out"]
) -> Float[Array, "samples size size channels_out"]:
    """The correlation with 3 x 3 taps, zeros around, as one matrix product.

    In a compiled loop on a CPU that is several times as fast as the convolution of XLA.
    """
    rows, columns = images.shape[1:3]
    padded = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    around = [padded[:, i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return jnp.concatenate(around, axis=-1) @ kernel


def encoder(key: Key[Array, ""], channels: int, blocks: int) -> Encoder:
    """An encoder to train, float32: Gaussian kernels of variance 1/fan-in; blocks start as the identity."""
    sizes = [(9, channels), *[(9 * channels, channels)] * (2 * blocks), (9 * channels, 1)]
    keys = jax.random.split(jax.random.fold_in(key, Tag.WEIGHTS), len(sizes))
    ends = range(2, 2 * blocks + 1, 2)
    return Encoder(tuple(
        jnp.zeros(size, jnp.float32) if i in ends else normal(one, size).astype(jnp.float32) / size[0] ** 0.5
        for i, (one, size) in enumerate(zip(keys, sizes, strict=True))
    ))  # fmt: skip


def trained(
    key: Key[Array, ""], network: Encoder, given: Scan, images: Images, steps: int
) -> tuple[Encoder, Float[Array, " steps"]]:
    """The network after `steps` of Adam, its rate falling from RATE to 0 as a cosine, and the loss of each step.

    The loss is the mean square of N(input) - (image - input). Inputs are filtered back-projections of noisy
    measurements and clean images in turn; a random half of both have white noise in addition.
    """
    operator, back = (jnp.asarray(each, jnp.float32) for each in (given.operator, given.back_projection))
    clean = jnp.asarray(images, jnp.float32)
    adam: Any = optax.adam(optax.cosine_decay_schedule(RATE, steps))

    def loss(network, key):
        which, level, noise, strength, chosen, white = jax.random.split(key, 6)
        x = clean[jax.random.randint(which, (BATCH,), 0, len(clean))]
        levels = TRAINING_NOISE * jax.random.uniform(level, (BATCH, 1), jnp.float32)
        directions = jax.random.normal(noise, (BATCH, len(operator)), jnp.float32)
        seen = jnp.where(jnp.arange(BATCH)[:, None] % 2 == 0, measured(directions, operator, x, levels) @ back.T, x)
        strengths = WHITE_NOISE * jax.random.uniform(strength, (BATCH, 1), jnp.float32)
        strengths = jnp.where(jax.random.bernoulli(chosen, shape=(BATCH, 1)), strengths, 0)
        seen = seen + strengths * jax.random.normal(white, x.shape, jnp.float32)
        return jnp.mean((network(seen) - (x - seen)) ** 2)

    def step(carried, key):
        network, state = carried
        value, gradient = jax.value_and_grad(loss)(network, key)
        updates, state = adam.update(gradient, state)
        return (eqx.apply_updates(network, updates), state), value

    keys = jax.random.split(jax.random.fold_in(key, Tag.BATCHES), steps)
    (network, _), losses = jax.lax.scan(step, (network, adam.init(network)), keys)
    return network, losses


def artifacts(network: Encoder, images: Images) -> Float[Array, ""]:
    """R = ||N(x)||^2, summed over the images."""
    return jnp.sum(network(images) ** 2)


def minimised(
    penalty: Any, given: Scan, measurements: Data, alpha: Any, *, step: float, iterations: int, momentum: bool = False
) -> Float[Array, "samples signal_dim"]:
    """Nearly a minimiser of 1/2 ||A x - y||^2 + alpha penalty(x) for each row y, from its filtered back-projection on.

    In turns: z = x - step grad penalty(x), then x = argmin 1/2 ||A x - y||^2 + alpha/(2 step) ||x - z||^2,
    exactly, by the singular values. So alpha may be 0: of the images that fit best, one of least penalty. The fixed
    points are the stationary points. `momentum` is Nesterov's, for convex penalties.
    """
    beta, seen = alpha / step, measurements @ given.left

    def both(i, carried):
        x, before = carried
        z = x + momentum * (i / (i + 3)) * (x - before)
        z = z - step * jax.grad(penalty)(z)
        inside = z @ given.right
        fitted = (given.values * seen + beta * inside) / (given.values**2 + beta)
        return z + (fitted - inside) @ given.right.T, x

    start = measurements @ given.back_projection.T
    return jax.lax.fori_loop(0, iterations, both, (start, start))[0]


def tuned(
    solve: Callable[..., Any], directions: Data, given: Scan, images: Images, levels: Any, factors: Sequence[float]
) -> Float[Array, ""]:
    """The c of `factors` for which `solve` with alpha = c level errs least on these images.

    That is, with the least mean logarithm of the relative error, over `levels` of noise and images.
    """

    def error(c, level):
        found = solve(given, measured(directions, given.operator, images, level), c * level)
        return jnp.mean(jnp.log(lengths(found - images) / lengths(images)))

    candidates = jnp.asarray(factors)
    found = jax.lax.map(lambda c: jax.lax.map(lambda level: error(c, level), levels).mean(), candidates)
    return candidates[jnp.argmin(found)]


def study(
    key: Key[Array, ""], *, size: int, angles: int, channels: int, blocks: int, training: int, steps: int,
    iterations: int, tests: int, levels: Sequence[float],
) -> dict[str, Any]:  # fmt: skip
    """One network, trained on `training` phantoms of ellipses, and what SOLVERS make of `tests` others of each shape.

    `levels` are relative noises, the first of them 0, and alpha = c level, with c `tuned` among FACTORS on half as many
    phantoms more at the noise PICTURED, for total variation and NETT each: `factor`. Means over phantoms, of axes
    (shape, solver, level): `error`, relative; `psnr`, in dB, over the largest value of the phantom; `misfit`, ||A x -
    y|| over ||A xbar||. `distance`, (level,): of NETT's images of ellipses from those without noise, over ||xbar||.
    `picture`, (shown, row, column): a phantom of ellipses, and what SOLVERS make of it, by the level next to PICTURED.
    """
    given, at = Scan(*map(jnp.asarray, scan(size, angles))), jnp.asarray(levels)
    train, held_out, test, tuning, noise = jax.random.split(jax.random.fold_in(key, Tag.TEST_SIGNALS), 5)

    def phantoms(key, count, shape="ellipses"):
        return imaging.phantoms(key, count, size, shape).reshape(count, -1)

    network, _ = trained(key, encoder(key, channels, blocks), given, phantoms(train, training), steps=steps)
    flat = partial(imaging.variation, smoothing=SMOOTHING)
    solve = {
        "tv": partial(minimised, flat, step=SMOOTHING / 8, iterations=200, momentum=True),
        "nett": partial(minimised, partial(artifacts, network), step=STEP, iterations=iterations),
    }
    known = phantoms(held_out, max(1, tests // 2))
    noise, tuning = (normal(key, (rows, len(given.operator))) for key, rows in ((noise, tests), (tuning, len(known))))
    factor = {name: tuned(solve[name], tuning, given, known, jnp.array([PICTURED]), FACTORS[name]) for name in solve}
    true = jnp.stack([phantoms(test, tests, shape) for shape in imaging.SHAPES])

    def solved(phantoms, level):
        y = measured(noise, given.operator, phantoms, level)
        found: Any = {name: solve[name](given, y, factor[name] * level) for name in solve}
        found["fbp"] = y @ given.back_projection.T
        rows = jnp.stack([{**found, "post": found["fbp"] + network(found["fbp"])}[name] for name in SOLVERS])
        return rows, jnp.linalg.norm(rows @ given.operator.T - y[None], axis=2)

    # axes: level, shape, solver, phantom
    found, misfit = jax.lax.map(lambda level: jax.lax.map(lambda phantoms: solved(phantoms, level), true), at)
    shown, true = jnp.argmin(abs(at - PICTURED)), true[None, :, None]
    error, long = jnp.linalg.norm(found - true, axis=4), jnp.linalg.norm(true, axis=4)
    nett, misfit = found[:, 0, SOLVERS.index("nett")], misfit / jnp.linalg.norm(true @ given.operator.T, axis=4)
    table = {"error": error / long, "psnr": 20 * jnp.log10(size * true.max(4) / error), "misfit": misfit}
    return {name: values.mean(3).transpose(1, 2, 0) for name, values in table.items()} | {
        "distance": (jnp.linalg.norm(nett - nett[:1], axis=2) / long[0, 0]).mean(1),
        "factor": jnp.stack([factor[name] for name in solve]),
        "picture": jnp.concatenate([true[0, 0, 0, :1], found[shown, 0, :, 0]]).reshape(-1, size, size),
    }
