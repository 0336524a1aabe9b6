"""One pass over the rows of a matrix: objective, gradient over all components, Hessian of some."""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PyTree

from ._blocks import Block, fold_blocks
from ._inputs import put
from ._line_search import SHORT
from ._problem import FAULTS
from ._product import inner, product
from ._programs import Programs
from ._progress import Progress
from ._solution import RESULTS
from ._source import RowSource

# Blocks that are computed on, or wait, while the next one is read.
_AHEAD = 2


class Weighting(NamedTuple):
    """Weights of the units that sum to one: a number of each, or None for equal ones."""

    each: Float[np.ndarray, " n"] | None
    num_units: int

    def of(self, start: int, size: int) -> Float[np.ndarray, " size"]:
        """Weights of a range of units, zero after the last."""
        out = np.zeros(size)
        stop = min(start + size, self.num_units)
        out[: stop - start] = 1 / self.num_units if self.each is None else self.each[start:stop]
        return out


class Evaluation(NamedTuple):
    """What a pass finds at the proportions `probs`.

    `hess` is the Hessian of `members`, None if it was not asked for. `num_covered` counts the units
    that the proportions hardly explained, and that were given mass in the course of the pass: if
    there are any, `probs` are those of its end, and the sums belong to no single point. The terms
    of sums are in the precision `dtype`. `fault` is what is wrong with `unit`, if anything is, and
    nothing else has a meaning then.
    """

    probs: Float[np.ndarray, " m"]
    objective: float
    gradient: Float[np.ndarray, " m"]
    hess: Float[np.ndarray, "k k"] | None
    members: Int[np.ndarray, " k"]
    num_covered: int
    dtype: np.dtype
    fault: RESULTS | None
    unit: int

    @property
    def violation(self) -> float:
        """The largest -gⱼ, over all components."""
        return max(-float(np.min(self.gradient)), 0.0)

    @property
    def gap(self) -> float:
        """Optimality gap, over all components."""
        return float(np.log1p(self.violation))

    @property
    def is_exact(self) -> bool:
        """Whether it is that of one point, in the precision of the results."""
        return not self.num_covered and self.dtype == self.gradient.dtype


def sweep(
    source: RowSource,
    weighting: Weighting,
    probs: Float[np.ndarray, " m"],
    members: Int[np.ndarray, " k"],
    *,
    dtype: DTypeLike,
    with_hess: bool,
    progress: Progress,
) -> Evaluation:
    """Go through all rows once.

    The sums stay on the device from block to block, and a block is read while others are computed
    on.
    """
    size, wide = source.block_size, np.dtype(jnp.result_type(float))
    k = members.size if with_hess else 0
    carry = jax.tree.map(put, _first(probs.astype(wide), k, wide))
    chosen = put(members.astype(np.int32))
    log_lik = source.log_lik
    pending: deque[_Carry] = deque()
    start = 0
    for block in source.blocks():
        block = jax.tree.map(partial(_whole, size=size), block)
        omega = put(weighting.of(start, size).astype(wide))
        key = (jax.tree.structure((log_lik, block)), size, probs.size, k, np.dtype(dtype))
        first = put(np.asarray(start, np.int32))
        carry = _add(
            key, log_lik, block, omega, first, chosen, carry, dtype=dtype, with_hess=with_hess
        )
        start += size
        pending.append(carry)
        if len(pending) > _AHEAD:
            jax.block_until_ready(pending.popleft().objective)
        progress.read(min(start, weighting.num_units))
    done = jax.tree.map(np.asarray, carry)
    fault = int(done.fault)
    return Evaluation(
        probs=done.probs,
        objective=float(done.objective),
        gradient=1.0 - done.ratios,
        hess=done.hess if with_hess else None,
        members=members,
        num_covered=int(done.num_covered),
        dtype=np.dtype(dtype),
        fault=FAULTS[fault] if fault else None,
        unit=int(done.unit),
    )


class _Carry(NamedTuple):
    """Sums over the units so far, and proportions that explain them; the first unit at fault."""

    probs: Float[Array, " m"]
    ratios: Float[Array, " m"]
    hess: Float[Array, "k k"]
    num_covered: Int[Array, ""]
    fault: Int[Array, ""]
    unit: Int[Array, ""]
    objective: Float[Array, ""]


def _first(probs: Float[np.ndarray, " m"], k: int, dtype: np.dtype) -> Any:
    zero, none = np.zeros((), np.int32), np.asarray(-1, np.int32)
    sums = np.zeros_like(probs), np.zeros((k, k), dtype)
    return _Carry(probs, *sums, zero, zero, none, np.zeros((), dtype))


def _add_block(
    log_lik: Callable[[PyTree, None], Float[Array, "b m"]],
    block: PyTree,
    weights: Float[Array, " b"],
    first: Int[Array, ""],
    members: Int[Array, " k"],
    carry: _Carry,
    *,
    dtype: DTypeLike,
    with_hess: bool,
) -> _Carry:
    """Add the units of a block, in parts that stay in the cache of a processor."""

    def add(part: Block, carry: _Carry) -> _Carry:
        omega = jnp.where(part.is_new, part.of(weights, 0), 0.0)
        own = log_lik(jax.tree.map(lambda x: part.of(x, 0), block), None).astype(weights.dtype)
        counts = omega > 0
        own = jnp.where(counts[:, None], own, 0.0)
        row_max = jnp.max(own, axis=1)
        # Rounded after the subtraction only.
        lik = jnp.exp((own - row_max[:, None]).astype(dtype))
        mix_lik = product(lik, carry.probs.astype(dtype))
        # XLA's maximum may lose NaN; a product does not.
        bad = jnp.isnan(mix_lik)
        fault, unit = lax.cond(
            jnp.any(bad) & (carry.unit < 0),
            lambda: _look(own, bad, first + part.start),
            lambda: (carry.fault, carry.unit),
        )
        mix_lik = jnp.where(counts & ~bad, mix_lik, 1.0)
        short = mix_lik < SHORT * omega.astype(dtype)
        probs, mix_lik = lax.cond(
            jnp.any(short), partial(_cover, lik, omega, short), lambda *same: same,
            carry.probs, mix_lik,
        )  # fmt: skip
        scale = omega.astype(dtype) / mix_lik
        hess = carry.hess
        if with_hess:
            root = jnp.sqrt(omega).astype(dtype) / mix_lik
            scaled = lik[:, members] * root[:, None]
            hess = hess + product(scaled.T, scaled).astype(hess.dtype)
        log_mix = jnp.log(mix_lik.astype(omega.dtype)) + row_max
        return _Carry(
            probs=probs,
            ratios=carry.ratios + product(scale, lik).astype(omega.dtype),
            hess=hess,
            num_covered=carry.num_covered + jnp.sum(short, dtype=jnp.int32),
            fault=fault,
            unit=unit,
            objective=carry.objective - inner(omega, jnp.where(counts, log_mix, 0.0)),
        )

    return fold_blocks(add, carry, weights.size, carry.probs.size)


_add = Programs(_add_block)


def _look(
    log_lik: Float[Array, "b m"], bad: Array, first: Int[Array, ""]
) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """What is wrong with the first unit that is bad, an index into `FAULTS`, and which it is."""
    unit = jnp.argmax(bad)
    impossible = jnp.all(log_lik[unit] == -jnp.inf)
    return jnp.where(impossible, 1, 2).astype(jnp.int32), (first + unit).astype(jnp.int32)


def _cover(
    lik: Float[Array, "b m"],
    weights: Float[Array, " b"],
    short: Array,
    probs: Float[Array, " m"],
    mix_lik: Float[Array, " b"],
) -> tuple[Float[Array, " m"], Float[Array, " b"]]:
    """Give mass to the best components of units that are hardly explained, as a line search does.

    At once, and not after the pass: the units that follow may need the same component.
    """
    more = jnp.where(short, weights, 0.0)
    probs = probs.at[jnp.argmax(lik, axis=1)].add(more) / (1 + jnp.sum(more))
    covered = product(lik, probs.astype(lik.dtype))
    return probs, jnp.where(weights > 0, covered, mix_lik)


def _whole(values: Any, *, size: int) -> Array:
    """The data of a block on the device, the last unit repeated up to the size of a block."""
    if len(values) < size:
        values = np.asarray(values)
        values = np.concatenate([values, np.repeat(values[-1:], size - len(values), axis=0)])
    return put(values) if isinstance(values, np.ndarray) else values
