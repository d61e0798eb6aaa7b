"""Signals on a curved manifold: a smooth random map of a few latent coordinates."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..arrays import AnyArray
from ..draws import Tag, normal, orthonormal
from .signals import Subspace


class Manifold(Subspace):
    """Signals x(z) = `frame` sin(`waves` z) with latent z ~ N(0, I).

    As a `Subspace` it is their span, with their second moments, which are all that a linear map sees. `tested` are the
    z of the held-out pairs.
    """

    frame: Float[AnyArray, "signal_dim features"]
    waves: Float[AnyArray, "features latent_dim"]
    tested: Float[AnyArray, "held_out latent_dim"]

    def signals(self, latent: Float[AnyArray, "samples latent_dim"]) -> Float[Array, "samples signal_dim"]:
        """x(z) as rows."""
        return jnp.sin(jnp.asarray(latent) @ self.waves.T) @ self.frame.T

    def tangents(self, latent: Float[AnyArray, "samples latent_dim"]) -> Float[Array, "samples signal_dim latent_dim"]:
        """dx/dz at each z: its columns span the tangent space there."""
        slopes = jnp.cos(jnp.asarray(latent) @ self.waves.T)
        return jnp.einsum("df,nf,fk->ndk", self.frame, slopes, self.waves)

    def sample(self, key: Key[Array, ""], samples: int) -> Float[Array, "samples signal_dim"]:
        """Fresh signals of the same law, as rows; independent of the training signals of the same key."""
        return self.signals(fresh_latent(key, samples, self.waves.shape[1]))

    def training(self, key: Key[Array, ""], samples: int) -> Float[Array, "samples signal_dim"]:
        """Training signals as rows: independent ones of the law."""
        return self.signals(_latent(key, Tag.COEFFICIENTS, samples, self.waves.shape[1]))


def manifold(
    key: Key[Array, ""], signal_dim: int, latent_dim: int, features: int, curvature: float, held_out: int
) -> Manifold:
    """x(z) = sqrt(k/p)/c R sin(c sqrt(p/k) Q z), k latent coordinates, p features, c the curvature. Ours.

    R (d, p) and Q (p, k) have random orthonormal columns. The phase of a feature is c times a normal number of variance
    1 in the mean; for c -> 0 the manifold is the subspace of R Q, with the law of a `subspace` of condition number 1.
    With a_i the waves, E[sin(a_i z) sin(a_j z)] = (exp(-|a_i - a_j|^2/2) - exp(-|a_i + a_j|^2/2))/2: [exact].
    """
    stretch = curvature * (features / latent_dim) ** 0.5
    frame = jnp.asarray(orthonormal(key, signal_dim, features, Tag.SUBSPACE, 0) / stretch)
    waves = jnp.asarray(orthonormal(key, features, latent_dim, Tag.SUBSPACE, 1) * stretch)
    values, vectors = jnp.linalg.eigh(_moments(waves))
    return Manifold(
        basis=(frame * stretch) @ vectors[:, ::-1],
        spectrum=jnp.sqrt(jnp.maximum(values[::-1], 0)) / stretch,
        frame=frame,
        waves=waves,
        tested=jnp.asarray(fresh_latent(key, held_out, latent_dim)),
    )


def fresh_latent(key: Key[Array, ""], samples: int, latent_dim: int) -> Float[AnyArray, "samples latent_dim"]:
    """The z of fresh signals, as rows."""
    return _latent(key, Tag.TEST_SIGNALS, samples, latent_dim)


def _latent(key, tag, samples, latent_dim):
    return normal(key, (samples, latent_dim), tag)


def _moments(waves):
    """E[sin(waves z) sin(waves z)^T]."""
    apart, along = (jnp.sum((waves[:, None, :] + sign * waves[None, :, :]) ** 2, axis=2) for sign in (-1, 1))
    return (jnp.exp(-apart / 2) - jnp.exp(-along / 2)) / 2
