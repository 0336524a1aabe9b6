"""One pass over the rows of a matrix: objective, gradient over all components, Hessian of some."""

from collections import deque
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Num

from ._blocks import Block, fold_blocks
from ._inputs import put
from ._line_search import SHORT
from ._problem import FAULTS
from ._product import inner, product
from ._programs import Programs
from ._progress import Progress
from ._rows import Rows
from ._solution import RESULTS

# Units whose log-likelihoods a pass brings back.
_NUM_TELLING = 512
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


class Telling(NamedTuple):
    """Units with the largest ω/u, the largest terms of the gradient: `scores`.

    They are those that the proportions explain worst, or of large weight. Where few of them are all
    that speaks for a component, neither a quadratic nor a sample of the rows tells how much mass it
    should get. `log_lik` is off by a constant of each unit.
    """

    log_lik: Float[Array, "r m"]
    weights: Float[Array, " r"]
    scores: Float[Array, " r"]


class _Sums(NamedTuple):
    """What a pass has found so far, on the device.

    `probs` explain all units so far, and `num_covered` counts those that were given mass for it.
    `ratios` are Σᵢ ωᵢ aᵢⱼ/uᵢ. `unit` is the first at fault, or -1, and `fault` an index into
    `FAULTS`.
    """

    probs: Float[Array, " m"]
    num_covered: Int[Array, ""]
    objective: Float[Array, ""]
    ratios: Float[Array, " m"]
    hess: Float[Array, "k k"]
    telling: Telling
    fault: Int[Array, ""]
    unit: Int[Array, ""]


class Evaluation(NamedTuple):
    """What a pass has found.

    `probs` are those that were asked about. Only if some units were hardly explained by them, and
    were given mass in the course of the pass, they are those of its end, and the sums belong to no
    single point: `num_covered` counts these units. The terms of sums are in the precision `dtype`.
    `hess` is the Hessian of `members`, and None, as `telling` is, if there was to be none. `fault`
    is what is wrong with `unit`, if anything is, and nothing else has a meaning then.
    """

    probs: Float[np.ndarray, " m"]
    num_covered: int
    objective: float
    gradient: Float[np.ndarray, " m"]
    hess: Float[np.ndarray, "k k"] | None
    members: Int[np.ndarray, " k"]
    telling: Telling | None
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
        """Whether the sums belong to one point, in the precision of results."""
        return not self.num_covered and self.dtype == self.gradient.dtype


def sweep(
    rows: Rows,
    weighting: Weighting,
    probs: Float[np.ndarray, " m"],
    members: Int[np.ndarray, " k"],
    *,
    dtype: np.dtype,
    with_hess: bool,
    progress: Progress,
) -> Evaluation:
    """Go through all rows once.

    Sums stay on the device from block to block, and a block is read while others are computed on.
    """
    size, wide = rows.block_size, probs.dtype
    sums = _no_sums(probs, members.size if with_hess else 0)
    chosen = put(members.astype(np.int32))
    pending: deque[Array] = deque()
    start = 0
    for block in rows.blocks():
        key = (size, probs.size, block.dtype, dtype, sums.hess.shape)
        omega = put(weighting.of(start, size).astype(wide))
        first = put(np.asarray(start, np.int32))
        sums = _add(key, put(_whole(block, size)), omega, first, chosen, sums, dtype=dtype)
        start += size
        pending.append(sums.unit)
        if len(pending) > _AHEAD:
            pending.popleft().block_until_ready()
        progress.read(min(start, weighting.num_units))
    found = jax.tree.map(np.asarray, sums)
    fault = int(found.fault)
    return Evaluation(
        probs=found.probs,
        num_covered=int(found.num_covered),
        objective=float(found.objective),
        gradient=1.0 - found.ratios,
        hess=found.hess if with_hess else None,
        members=members,
        telling=found.telling if with_hess else None,
        dtype=dtype,
        fault=FAULTS[fault] if fault else None,
        unit=int(found.unit),
    )


def _no_sums(probs: Float[np.ndarray, " m"], k: int) -> _Sums:
    """Those over no units."""
    m, r = probs.size, _NUM_TELLING if k else 0

    def zeros(*shape: int) -> Array:
        return put(np.zeros(shape, probs.dtype))

    return _Sums(
        probs=put(probs),
        num_covered=put(np.asarray(0, np.int32)),
        objective=zeros(),
        ratios=zeros(m),
        hess=zeros(k, k),
        telling=Telling(zeros(r, m), zeros(r), zeros(r)),
        fault=put(np.asarray(0, np.int32)),
        unit=put(np.asarray(-1, np.int32)),
    )


def _whole(block: np.ndarray, size: int) -> np.ndarray:
    """A block of the usual size: the last one may be smaller, and what is added has no weight."""
    if len(block) == size:
        return block
    return np.concatenate([block, np.zeros((size - len(block), block.shape[1]), block.dtype)])


def _add_block(
    log_lik: Num[Array, "b m"],
    weights: Float[Array, " b"],
    first: Int[Array, ""],
    members: Int[Array, " k"],
    sums: _Sums,
    *,
    dtype: np.dtype,
) -> _Sums:
    """Add the units of a block, in parts that stay in the cache of a processor."""
    wide = weights.dtype

    def add(part: Block, sums: _Sums) -> _Sums:
        omega = jnp.where(part.is_new, part.of(weights, 0), 0.0)
        counts = omega > 0
        own = jnp.where(counts[:, None], part.of(log_lik, 0).astype(wide), 0.0)
        row_max = jnp.max(own, axis=1)
        relative = own - row_max[:, None]
        lik = jnp.exp(relative.astype(dtype))
        mix_lik = product(lik, sums.probs.astype(dtype))
        # A product keeps NaN, which XLA's maximum may lose.
        bad = jnp.isnan(mix_lik)
        fault, unit = lax.cond(
            jnp.any(bad) & (sums.unit < 0),
            lambda: _fault_of_first(own, bad, first + part.start),
            lambda: (sums.fault, sums.unit),
        )
        mix_lik = jnp.where(counts & ~bad, mix_lik, 1.0)
        short = mix_lik.astype(wide) < SHORT * omega
        probs, mix_lik = lax.cond(
            jnp.any(short),
            partial(_cover, lik, omega, short),
            lambda *same: same,
            sums.probs,
            mix_lik,
        )
        hess, telling = sums.hess, sums.telling
        if telling.scores.size:
            score = omega / mix_lik.astype(wide)
            telling = lax.cond(
                jnp.max(score) > jnp.min(telling.scores),
                partial(_merge, Telling(relative, omega, score)),
                lambda same: same,
                telling,
            )
            root = jnp.sqrt(omega).astype(dtype) / mix_lik
            scaled = lik[:, members] * root[:, None]
            hess = hess + product(scaled.T, scaled).astype(wide)
        ratios = product(omega.astype(dtype) / mix_lik, lik).astype(wide)
        log_mix = jnp.log(mix_lik.astype(wide)) + row_max
        return _Sums(
            probs=probs,
            num_covered=sums.num_covered + jnp.sum(short, dtype=jnp.int32),
            objective=sums.objective - inner(omega, jnp.where(counts, log_mix, 0.0)),
            ratios=sums.ratios + ratios,
            hess=hess,
            telling=telling,
            fault=fault,
            unit=unit,
        )

    return fold_blocks(add, sums, weights.size, sums.probs.size)


_add = Programs(_add_block)


def _fault_of_first(
    log_lik: Float[Array, "b m"], bad: Bool[Array, " b"], first: Int[Array, ""]
) -> tuple[Int[Array, ""], Int[Array, ""]]:
    """What is wrong with the first of the bad units, and its number."""
    unit = jnp.argmax(bad).astype(jnp.int32)
    impossible = jnp.all(log_lik[unit] == -jnp.inf)
    return jnp.where(impossible, 1, 2).astype(jnp.int32), first + unit


def _cover(
    lik: Float[Array, "b m"],
    weights: Float[Array, " b"],
    short: Bool[Array, " b"],
    probs: Float[Array, " m"],
    mix_lik: Float[Array, " b"],
) -> tuple[Float[Array, " m"], Float[Array, " b"]]:
    """Mass for the best components of units that are hardly explained, as in a line search.

    At once and not after the pass, since units to come may need the same components.
    """
    more = jnp.where(short, weights, 0.0)
    probs = probs.at[jnp.argmax(lik, axis=1)].add(more) / (1 + jnp.sum(more))
    covered = product(lik, probs.astype(lik.dtype))
    return probs, jnp.where(jnp.isnan(covered) | (weights == 0), mix_lik, covered)


def _merge(new: Telling, old: Telling) -> Telling:
    """The units of the largest scores of both."""
    scores, order = lax.top_k(jnp.concatenate([old.scores, new.scores]), old.scores.size)
    at_old = jnp.minimum(order, old.scores.size - 1)
    at_new = jnp.maximum(order - old.scores.size, 0)
    is_old = order < old.scores.size
    return Telling(
        jnp.where(is_old[:, None], old.log_lik[at_old], new.log_lik[at_new]),
        jnp.where(is_old, old.weights[at_old], new.weights[at_new]),
        scores,
    )
