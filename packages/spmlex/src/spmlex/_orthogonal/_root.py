"""A root of the mean orthogonal score, by Newton steps that learn from those before."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._moments import Moments

# A step is at most this many standard errors of the working likelihood long, over √n.
_LONGEST = 2.0
# A step must bring the norm of the mean down by this part of what it promises, and is shortened so
# many times.
_DECREASE = 0.25
_SHORTEN, _MAX_SHORTENED = 3.0, 5
# Secants that are nearly parallel are not told apart.
_SECANT_CUTOFF = 1e-3
# Step of the differences, in units in which the information is one.
_DIFFERENCE = 1e-5
# Draws are reweighted as long as this part of them still counts; below the former no step is taken,
# and below the latter none is looked for.
_LEAST_OVERLAP, _FAIR_OVERLAP = 0.2, 0.5


class Secants(NamedTuple):
    """The last steps, and what each took from the mean of ψ."""

    steps: tuple[np.ndarray, ...] = ()
    changes: tuple[np.ndarray, ...] = ()

    def add(self, step: np.ndarray, change: np.ndarray) -> "Secants":
        """Those and one more, as many as there are parameters."""
        keep = -step.size
        return Secants((*self.steps, step)[keep:], (*self.changes, change)[keep:])


class Root(NamedTuple):
    """Where the search for a root ended.

    Attributes
    ----------
    flat : Float[np.ndarray, "p"]
        The parameters.
    moments : Moments
        There.
    found : bool
        Whether the norm of the mean is below the tolerance.
    num_evaluations : int
        Of the moments.
    secants : Secants
        Of the search.
    """

    flat: Float[np.ndarray, " p"]
    moments: Moments
    found: bool
    num_evaluations: int
    secants: Secants = Secants()


def find_root(
    evaluate: Callable[[np.ndarray], Moments],
    flat: Float[np.ndarray, " p"],
    tol: float,
    max_steps: int,
    secants: Secants = Secants(),
) -> Root:
    """Newton steps with J, corrected by the secants of the steps before (Anderson, 1965).

    J is the expected Jacobian; the secants teach what the sample adds to it, and where they do not
    lead on, differences replace it. Steps are shortened until they bring the mean down, measured in
    its own standard errors. The search ends, too, where few of the draws still count.

    Parameters
    ----------
    evaluate : Callable
        Moments at a parameter.
    flat : Float[np.ndarray, "p"]
        Where to start.
    tol : float
        Of the norm of the mean, in standard errors.
    max_steps : int
    secants : Secants
        Of a search nearby.
    """
    moments, count = evaluate(flat), 1
    differenced: np.ndarray | None = None
    for _ in range(max_steps):
        if not moments.is_finite:
            break
        if moments.norm <= tol:
            return Root(flat, moments, True, count, secants)
        if moments.overlap < _FAIR_OVERLAP:
            break
        scale = _scale(moments)
        matrix = _with_secants(
            moments.jacobian if differenced is None else differenced, secants, scale
        )
        step = np.linalg.lstsq(matrix, moments.mean, rcond=None)[0]
        length = min(1.0, _LONGEST / max(float(np.max(np.abs(scale * step))), 1e-300))
        metric = np.linalg.pinv(moments.meat)
        before = moments.mean @ metric @ moments.mean
        for _ in range(_MAX_SHORTENED):
            trial = evaluate(flat + length * step)
            count += 1
            if trial.is_finite and trial.overlap >= _LEAST_OVERLAP:
                after = trial.mean @ metric @ trial.mean
                if after <= (1 - _DECREASE * length) ** 2 * before:
                    break
            length /= _SHORTEN
        else:
            if differenced is not None and not secants.steps:
                break
            differenced = _differences(evaluate, flat, moments, scale)
            count += flat.size
            secants = Secants()
            continue
        secants = secants.add(length * step, moments.mean - trial.mean)
        flat, moments = flat + length * step, trial
    return Root(flat, moments, moments.is_finite and moments.norm <= tol, count, secants)


def _scale(moments: Moments) -> Float[np.ndarray, " p"]:
    """Root of the information in each parameter, so that units do not matter."""
    diagonal = np.abs(np.diagonal(moments.jacobian))
    return np.sqrt(np.where(diagonal > 0, diagonal, 1.0))


def _with_secants(
    jacobian: Float[np.ndarray, "p p"],
    secants: Secants,
    scale: Float[np.ndarray, " p"],
) -> Float[np.ndarray, "p p"]:
    """The matrix closest to the Jacobian that maps the last steps to the changes they made."""
    if not secants.steps:
        return jacobian
    taken, seen = scale[:, None] * np.array(secants.steps).T, np.array(secants.changes).T
    scaled = jacobian / scale
    inverse = np.linalg.pinv(taken, rcond=_SECANT_CUTOFF)
    return (scaled + (seen - scaled @ taken) @ inverse) * scale


def _differences(
    evaluate: Callable[[np.ndarray], Moments],
    flat: Float[np.ndarray, " p"],
    moments: Moments,
    scale: Float[np.ndarray, " p"],
) -> Float[np.ndarray, "p p"]:
    """Minus the derivative of the mean, by forward differences."""
    columns = []
    for k in range(flat.size):
        moved = flat.copy()
        moved[k] += _DIFFERENCE / scale[k]
        columns.append((moments.mean - evaluate(moved).mean) / (moved[k] - flat[k]))
    return np.array(columns).T
