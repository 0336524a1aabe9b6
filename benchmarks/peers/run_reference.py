"""Worker: the unit costs of a problem in JAX, one pass of `exp` and one gradient.

They put the solvers' times in proportion: no method can do without one pass of `exp` and a few
gradients.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import _worker
import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402


@jax.jit
def _exp_pass(log_lik: jax.Array) -> jax.Array:
    return jnp.exp(log_lik - jnp.max(log_lik, axis=1, keepdims=True))


@jax.jit
def _gradient(lik: jax.Array, probs: jax.Array) -> jax.Array:
    return 1.0 - (1.0 / (lik.shape[0] * (lik @ probs))) @ lik


@jax.jit
def _gradient_by_component(lik_t: jax.Array, probs: jax.Array) -> jax.Array:
    return 1.0 - lik_t @ (1.0 / (lik_t.shape[1] * (probs @ lik_t)))


def _median_seconds(call: Callable[..., jax.Array], *args: jax.Array, repeats: int) -> float:
    jax.block_until_ready(call(*args))
    clocked = [_worker.timed(lambda: jax.block_until_ready(call(*args)))[0] for _ in range(repeats)]
    return statistics.median(clocked)


def main() -> None:
    """Run the worker."""
    args = _worker.parser().parse_args()
    log_lik = jnp.asarray(np.load(args.log_lik))
    repeats = max(args.repeats, 5)
    record: dict[str, Any] = {"version": f"jax {version('jax')}", "repeats": repeats}
    record["exp_pass"] = _median_seconds(_exp_pass, log_lik, repeats=repeats)
    lik = _exp_pass(log_lik)
    del log_lik
    probs = jnp.full((lik.shape[1],), 1.0 / lik.shape[1])
    record["gradient"] = _median_seconds(_gradient, lik, probs, repeats=repeats)
    lik_t = jax.block_until_ready(lik.T)
    del lik
    record["gradient_by_component"] = _median_seconds(
        _gradient_by_component, lik_t, probs, repeats=repeats
    )
    _worker.write_json(args.record, record)


if __name__ == "__main__":
    main()
