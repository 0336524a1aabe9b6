"""Worker: this repository's `mixsqpx`, by mixSQP or by EM, called as a user calls it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import _worker
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import mixsqpx  # noqa: E402


def _outcome(result: Any) -> _worker.Outcome:
    if bool(result.result == mixsqpx.RESULTS.successful):
        status = "converged"
    else:
        status = str(mixsqpx.RESULTS[result.result]).split(". ")[0]
    return _worker.Outcome(np.asarray(result.probs), int(result.stats["num_steps"]), status)


def _version() -> str:
    try:
        own = version("mixsqpx")
    except PackageNotFoundError:
        own = "(not installed)"
    return f"mixsqpx {own}, jax {version('jax')}"


def main() -> None:
    """Run the worker."""
    parser = _worker.parser()
    parser.add_argument("--solver", choices=["mixsqp", "em"], default="mixsqp")
    parser.add_argument("--max-steps", type=int, default=None)
    args = parser.parse_args()
    if not hasattr(mixsqpx, "MixSQP"):
        raise SystemExit("the `mixsqpx` of this environment is another project's: version 0.x")
    options: dict[str, Any] = {} if args.max_steps is None else {"max_steps": args.max_steps}
    solver = mixsqpx.EM(gap_tol=None) if args.solver == "em" else mixsqpx.MixSQP()

    def solve(log_lik: jax.Array) -> Any:
        # throw=False: a solve that fails still has a solution to measure, as with the peers.
        out = mixsqpx.mixsolve(log_lik, solver=solver, throw=False, **options)
        return jax.block_until_ready(out)

    peer = _worker.Peer(
        name="em" if args.solver == "em" else "ours",
        version=_version(),
        prepare=lambda matrix: jax.block_until_ready(jnp.asarray(matrix)),
        solve=solve,
        outcome=_outcome,
    )
    _worker.run(peer, args)


if __name__ == "__main__":
    main()
