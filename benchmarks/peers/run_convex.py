"""Worker: Clarabel, an interior-point solver for conic programs, through cvxpy.

The problem without the simplex constraint, minimise -mean log (a x) + Σⱼ xⱼ over x ≥ 0: cvxpy turns
each logarithm into an exponential cone. The problem is built anew in every solve, as new data would
ask for.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import _worker
import cvxpy as cp
import numpy as np
from numpy.typing import NDArray


def _solve(log_lik: NDArray[np.float64]) -> tuple[Any, Any]:
    lik = np.exp(log_lik - log_lik.max(axis=1, keepdims=True))
    x = cp.Variable(lik.shape[1], nonneg=True)
    problem = cp.Problem(cp.Minimize(-cp.sum(cp.log(lik @ x)) / lik.shape[0] + cp.sum(x)))
    try:
        problem.solve(solver=cp.CLARABEL)
    except cp.SolverError:
        return problem, None
    return problem, x.value


def _outcome(result: tuple[Any, Any]) -> _worker.Outcome:
    problem, x = result
    if x is None:
        m = problem.variables()[0].size
        return _worker.Outcome(np.full(m, np.nan), None, "solver error")
    # An interior-point method misses the bound by its tolerance, on either side.
    probs = np.maximum(np.asarray(x), 0.0)
    status = "converged" if problem.status == cp.OPTIMAL else str(problem.status)
    return _worker.Outcome(probs, int(problem.solver_stats.num_iters), status)


def main() -> None:
    """Run the worker."""
    args = _worker.parser().parse_args()
    peer = _worker.Peer(
        name="clarabel",
        version=f"clarabel {version('clarabel')}, cvxpy {version('cvxpy-base')}",
        prepare=lambda matrix: matrix,
        solve=_solve,
        outcome=_outcome,
    )
    _worker.run(peer, args)


if __name__ == "__main__":
    main()
