"""Worker: the `mixsqpx` 0.1.4 of PyPI (C++). It returns no status and no iteration count."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import _worker
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import mixsqpx  # noqa: E402


def _outcome(result: Any) -> _worker.Outcome:
    probs = np.asarray(result[0])
    status = "not reported" if np.all(np.isfinite(probs)) else "NaN returned"
    return _worker.Outcome(probs, None, status)


def main() -> None:
    """Run the worker."""
    parser = _worker.parser()
    parser.add_argument("--full-matrix", action="store_true", help="no low-rank approximation")
    args = parser.parse_args()
    options: dict[str, Any] = {"tol_svd": 0.0} if args.full_matrix else {}
    peer = _worker.Peer(
        name="cpp",
        version=f"mixsqpx {version('mixsqpx')}, jax {version('jax')}",
        prepare=lambda matrix: jax.block_until_ready(jnp.asarray(matrix)),
        solve=lambda log_lik: jax.block_until_ready(mixsqpx.mixsolve(log_lik, **options)),
        outcome=_outcome,
    )
    _worker.run(peer, args)


if __name__ == "__main__":
    main()
