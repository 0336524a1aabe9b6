"""Worker: the `mixsqpx` 0.2.3a1 of PyPI (Rust).

It is asked for its diagnostics: without them a solve that it does not certify raises, and there
would be no solution to measure.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import _worker
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import mixsqpx  # noqa: E402

STATUS = {0: "converged", 1: "iteration limit", 2: "stagnation", 3: "invalid input"}


def _outcome(result: Any) -> _worker.Outcome:
    info = result.info
    status = STATUS.get(int(info.status), f"status {int(info.status)}")
    return _worker.Outcome(np.asarray(result.probabilities), int(info.iterations), status)


def main() -> None:
    """Run the worker."""
    parser = _worker.parser()
    parser.add_argument("--full-matrix", action="store_true", help="no low-rank approximation")
    args = parser.parse_args()
    options: dict[str, Any] = {"return_info": True}
    if args.full_matrix:
        options["tol_svd"] = 0.0
    peer = _worker.Peer(
        name="rust",
        version=f"mixsqpx {version('mixsqpx')}, jax {version('jax')}",
        prepare=lambda matrix: jax.block_until_ready(jnp.asarray(matrix)),
        solve=lambda log_lik: jax.block_until_ready(mixsqpx.mixsolve(log_lik, **options)),
        outcome=_outcome,
    )
    _worker.run(peer, args)


if __name__ == "__main__":
    main()
