"""The orthogonal score of the units, its mean, and what its expectations say."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from ._rows import RowTerms, Sums, residuals
from ._sample import Sample


class Moments(NamedTuple):
    """The orthogonal score ψ = s - ΓᵀD at one parameter, Γ = (B + κI)⁻¹C.

    Attributes
    ----------
    weighted : Float[np.ndarray, "n p"]
        ω ψ of each unit: what it adds to the mean.
    mean : Float[np.ndarray, "p"]
        Their sum, the mean of ψ, which is zero at the estimate.
    jacobian : Float[np.ndarray, "p p"]
        J = E[ψsᵀ], minus the derivative of the mean: the efficient information of a unit.
    info : Float[np.ndarray, "p p"]
        E[ssᵀ]: the information of a unit were its distribution known to be the working one.
    overlap : float
        Effective number of draws over their number: one where they are from this very model.
    slopes : Float[np.ndarray, "g m p"]
        Γ.
    cross : Float[np.ndarray, "g m m"]
        B, times the share of each group.
    shares : Float[np.ndarray, "g"]
        Weight of each group.
    leverage : Float[np.ndarray, "g m"]
        (B + κI)⁻¹ times the mean of D: how much the mean of ψ leans on each support point.
    """

    weighted: Float[np.ndarray, "n p"]
    mean: Float[np.ndarray, " p"]
    jacobian: Float[np.ndarray, "p p"]
    info: Float[np.ndarray, "p p"]
    overlap: float
    slopes: Float[np.ndarray, "g m p"]
    cross: Float[np.ndarray, "g m m"]
    shares: Float[np.ndarray, " g"]
    leverage: Float[np.ndarray, "g m"]

    @property
    def meat(self) -> Float[np.ndarray, "p p"]:
        """Σ ω² ψψᵀ: the variance of the mean."""
        return self.weighted.T @ self.weighted

    @property
    def norm(self) -> float:
        """Length of the mean in its own standard errors: the certificate of a root."""
        return float(np.sqrt(max(self.mean @ np.linalg.solve(self.meat, self.mean), 0.0)))

    @property
    def is_finite(self) -> bool:
        """Whether there is anything to work with."""
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.jacobian).all())

    def keep(self, some: Bool[np.ndarray, " p"]) -> "Moments":
        """Those of some of the parameters, the others held fixed."""
        square = np.ix_(some, some)
        return self._replace(
            weighted=self.weighted[:, some],
            mean=self.mean[some],
            jacobian=self.jacobian[square],
            info=self.info[square],
            slopes=self.slopes[:, :, some],
        )


def solve_moments(
    sample: Sample, data: RowTerms, sums: Sums, ridge: float, overlap: float
) -> Moments:
    """Moments from the terms of the units and the expectations over outcomes.

    Parameters
    ----------
    sample : Sample
    data : RowTerms
        Of the units.
    sums : Sums
        The expectations.
    ridge : float
        κ.
    overlap : float
        Handed on.
    """
    cross, with_scores, info = map(np.asarray, (sums.cross, sums.with_scores, sums.scores))
    by_group = sample.by_group()
    shares = by_group.sum(axis=1)
    means = by_group @ np.asarray(data.ratios)
    eye = ridge * np.eye(cross.shape[1])
    solved = np.stack(
        [
            np.linalg.solve(b + share * eye, np.column_stack([c, mean]))
            for b, c, mean, share in zip(cross, with_scores, means, shares, strict=True)
        ]
    )
    slopes = solved[:, :, :-1]
    psi = residuals(data, jnp.asarray(slopes, data.scores.dtype), sample.labels)
    weighted = sample.weights[:, None] * np.asarray(psi, np.float64)
    explained = np.sum(np.swapaxes(with_scores, 1, 2) @ slopes, axis=0)
    return Moments(
        weighted=weighted,
        mean=weighted.sum(axis=0),
        jacobian=info - explained,
        info=info,
        overlap=overlap,
        slopes=slopes,
        cross=cross,
        shares=shares,
        leverage=solved[:, :, -1],
    )
