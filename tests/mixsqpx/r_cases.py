"""Reference solutions of R's mixsqp, with the problems they solve.

The fixtures hold the numbers a problem is generated from and what R returned; the matrices are
rebuilt here by the formulas of ``tests/fixtures/make_mixsqp.R``. What R reports is converted to the
notation of this package, f(p) = -Σᵢ ωᵢ log Σⱼ pⱼ exp ℓᵢⱼ with ω summing to one. R's conventions:

* Weights and start are divided by their sums, and so are the probabilities that R returns.
* ``value``: with ``log=TRUE`` R drops the row maxima rᵢ, so f is R's number minus Σ ωᵢ rᵢ. With
  plain input R reports f. Either way without R's smoothing constant ``eps``, but with the matrix R
  worked on: where ``tol.svd > 0`` truncated it, that is the low-rank approximation, and the value
  is not f(p). ``objective`` is f(p) from the original matrix.
* ``grad``: -Σᵢ ωᵢ aᵢⱼ/(uᵢ + eps) with a = exp(ℓ - r): the gradient of f, without the 1 of the
  problem that has no simplex. Here g = 1 + ``grad``. Low-rank matrix where R truncated it.
* ``hessian``: Σᵢ ωᵢ aᵢaᵢᵀ/(uᵢ + eps)², scaled like ours. Low-rank matrix where R truncated it.
* Both of them leave out the columns that are zero everywhere, where g is 1 and H is 0, and are
  missing when at most one column is left: R then returns that vertex without running.
* ``max.rdual``: max(-gⱼ), eps included, over the positive components *only*, and R's one criterion
  of convergence (at most 1e-8). It does not bound f(p) - f*; ``gap`` does.
* Components of at most 1e-8 are set to zero.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "mixsqp"
_CONVERGED = "converged to optimal solution"


@dataclass(frozen=True, eq=False)
class RRun:
    """What R returned for one problem under one setting, in our notation.

    Attributes
    ----------
    setting : str
        Name of the setting in the fixture: ``default``, ``full``, ``log_default``, ``log_full``,
        ``log_exact`` or ``log_no_em``.
    log : bool
        Whether R was given ℓ (``log=TRUE``) or exp ℓ.
    tol_svd, eps : float
        R's ``tol.svd`` (0: no truncation) and ``eps``, the constant it adds to u.
    em_steps : int
        R's ``numiter.em``, the EM steps before the first quadratic program.
    status : str
        R's message.
    iterations : int
        Quadratic iterations, the one that found convergence included; 0 if R did not run.
    max_rdual : float or None
        R's convergence criterion where it stopped; None if R did not run.
    probs : (m,) array
        The probabilities; they sum to one.
    value : float
        R's value of f, row maxima included; infinite where R said so.
    objective : float
        f at `probs`, from the original matrix, computed in R.
    gap : float
        log maxⱼ Σᵢ ωᵢ aᵢⱼ/uᵢ at `probs`, over all components of the original matrix, computed in R:
        a bound on f(p) - f*, and the error R left. Infinite where f is.
    gradient : (m,) array or None
        R's gradient plus one; None if R did not run.
    hessian : (m, m) array or None
        R's Hessian; None if R did not run or m > 25.
    """

    setting: str
    log: bool
    tol_svd: float
    eps: float
    em_steps: int
    status: str
    iterations: int
    max_rdual: float | None
    probs: Array
    value: float
    objective: float
    gap: float
    gradient: Array | None
    hessian: Array | None

    @property
    def converged(self) -> bool:
        """Whether R claims convergence; `gap` says whether it is true."""
        return self.status == _CONVERGED


@dataclass(frozen=True, eq=False)
class RCase:
    """A problem and R's solutions of it.

    Attributes
    ----------
    name, about : str
        Name of the case (its file's stem) and what it is for.
    log_lik : (n, m) array
        ℓ, with -inf where a likelihood is zero. Read-only, like every array here.
    weights : (n,) array or None
        Observation weights, not normalised; None if all are equal.
    init : (m,) array or None
        The start, summing to one; None for R's default, equal probabilities.
    solution : (m,) array or None
        The optimum, where it is unique and known in closed form.
    runs : dict of str to RRun
        R's output under each setting.
    """

    name: str
    about: str
    log_lik: Array
    weights: Array | None
    init: Array | None
    solution: Array | None
    runs: dict[str, RRun]


def case_names() -> tuple[str, ...]:
    """Names of all cases, in alphabetical order; reads no file."""
    return tuple(sorted(path.stem for path in _FIXTURES.glob("*.json")))


def load_cases() -> Iterator[RCase]:
    """Every case in turn, in the order of `case_names`."""
    for name in case_names():
        yield load_case(name)


@cache
def load_case(name: str) -> RCase:
    """Read one case and rebuild its matrix.

    Parameters
    ----------
    name : str
        One of `case_names`.

    Returns
    -------
    RCase
        The case; the same object on every call.
    """
    raw = _read(name)
    log_lik = _log_lik(raw["recipe"])
    if log_lik.shape != (raw["n"], raw["m"]):
        raise ValueError(f"case {name}: rebuilt {log_lik.shape}, R had {(raw['n'], raw['m'])}")
    weights = _array(raw["weights"])
    init = _array(raw["init"])
    return RCase(
        name=name,
        about=raw["about"],
        log_lik=_frozen(log_lik),
        weights=weights,
        init=None if init is None else _frozen(init / init.sum()),
        solution=_array(raw["solution"]),
        runs={key: _run(key, run, log_lik, weights) for key, run in raw["runs"].items()},
    )


def _run(setting: str, raw: dict[str, Any], log_lik: Array, weights: Array | None) -> RRun:
    """Convert R's output to our notation."""
    n, m = log_lik.shape
    omega = np.full(n, 1 / n) if weights is None else weights / weights.sum()
    row_max_mean = float(omega @ log_lik.max(axis=1))
    grad, hess = _array(raw["grad"]), _array(raw["hessian"])
    live = np.isfinite(log_lik).any(axis=0)
    gradient = hessian = None
    if grad is not None:
        gradient = np.ones(m)
        gradient[live] += grad
        gradient = _frozen(gradient)
    if hess is not None:
        hessian = np.zeros((m, m))
        hessian[np.ix_(live, live)] = hess
        hessian = _frozen(hessian)
    return RRun(
        setting=setting,
        log=raw["log"],
        tol_svd=float(raw["tol_svd"]),
        eps=float(raw["eps"]),
        em_steps=raw["em_steps"],
        status=raw["status"],
        iterations=raw["iterations"],
        max_rdual=raw["max_rdual"],
        probs=_frozen(np.asarray(raw["x"], dtype=np.float64)),
        value=_finite_or_inf(raw["value"]) - (row_max_mean if raw["log"] else 0.0),
        objective=_finite_or_inf(raw["objective"]),
        gap=_finite_or_inf(raw["gap"]),
        gradient=gradient,
        hessian=hessian,
    )


def _log_lik(recipe: dict[str, Any]) -> Array:
    """Rebuild the (n, m) matrix: the counterpart of ``log_lik_of`` in the R script."""
    kind = recipe["kind"]
    if kind == "same_as":
        return _log_lik(_read(recipe["case"])["recipe"])
    z = np.asarray(recipe.get("z", []), dtype=np.float64)[:, None]
    support = np.asarray(recipe.get("support", []), dtype=np.float64)[None, :]
    if kind == "explicit":
        with np.errstate(divide="ignore"):
            log_lik = np.log(np.asarray(recipe["likelihood"], dtype=np.float64))
    elif kind == "normal_scale":
        log_lik = _normal(z, np.sqrt(1 + support**2))
    elif kind == "three_normals_scale":
        z = _three_normals(recipe["n"], recipe["seed"])[:, None]
        log_lik = _normal(z, np.sqrt(1 + support**2))
    elif kind == "normal_location":
        log_lik = _normal(z - support, recipe["sd"])
    elif kind == "uniform_location":
        half = recipe["half_width"]
        log_lik = np.where(np.abs(z - support) <= half, -math.log(2 * half), -np.inf)
    elif kind == "binomial":
        log_lik = _binomial(z, np.asarray(recipe["trials"], dtype=np.float64)[:, None], support)
    elif kind == "exponential":
        n, m = recipe["n"], recipe["m"]
        log_lik = np.log(-np.log(_lehmer(n * m, recipe["seed"]))).reshape(m, n).T
    else:
        raise ValueError(f"unknown recipe {kind!r}")
    if "row_shift" in recipe:
        log_lik = log_lik + np.asarray(recipe["row_shift"])[:, None]
    if "zero_columns" in recipe:
        log_lik[:, recipe["zero_columns"]] = -np.inf
    return np.ascontiguousarray(log_lik)


def _normal(x: Array, sd: Array | float) -> Array:
    """Log density of N(0, sd²) at x."""
    return -0.5 * (x / sd) ** 2 - np.log(sd) - 0.5 * math.log(2 * math.pi)


def _binomial(count: Array, trials: Array, prob: Array) -> Array:
    """Log probability of `count` successes, with 0 log 0 = 0 at probabilities 0 and 1."""
    pairs = zip(trials.ravel(), count.ravel(), strict=True)
    log_choose = np.array([math.log(math.comb(int(k), int(y))) for k, y in pairs])[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        success = np.where(count == 0, 0.0, count * np.log(prob))
        failure = np.where(count == trials, 0.0, (trials - count) * np.log1p(-prob))
    return log_choose + success + failure


def _three_normals(n: int, seed: int) -> Array:
    """Half N(0, 1), a quarter N(0, 9), a quarter N(0, 36), by inversion like R's qnorm."""
    quantile = NormalDist().inv_cdf
    sd = np.repeat([1.0, 3.0, 6.0], [n // 2, n // 4, n // 4])
    return sd * np.array([quantile(u) for u in _lehmer(n, seed).tolist()])


def _lehmer(n: int, seed: int) -> Array:
    """Lehmer's generator, 48271 modulo 2³¹ - 1, on (0, 1): the same doubles as in the R script."""
    modulus = 2**31 - 1
    powers = np.array([48271], dtype=np.int64)
    while len(powers) < n:
        powers = np.concatenate([powers, powers * powers[-1] % modulus])
    return powers[:n] * seed % modulus / modulus


@cache
def _read(name: str) -> dict[str, Any]:
    """The fixture as it is on disk; infinities are null in it."""
    return json.loads((_FIXTURES / f"{name}.json").read_text(encoding="utf-8"))


def _array(values: list[Any] | None) -> Array | None:
    """A read-only float64 array, or None."""
    return None if values is None else _frozen(np.asarray(values, dtype=np.float64))


def _frozen(array: Array) -> Array:
    """The array, made read-only: cases are shared between tests."""
    array.setflags(write=False)
    return array


def _finite_or_inf(value: float | None) -> float:
    return math.inf if value is None else float(value)
