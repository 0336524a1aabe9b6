"""Expectations over outcomes of the working model."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ._draws import can_list, check_draws, check_listed, drawn, listed
from ._moments import Moments, solve_moments
from ._rows import RowTerms, Sums, residuals, sum_rows
from ._sample import Sample

# Blocks of draws: at least four, of a thousand rows at least, and no more rows than this in all.
FIRST_BLOCKS, _BLOCK_ROWS, _MAX_ROWS = 4, 1_000, 400_000
# Rows that tell a covariance to a few per cent.
_ENOUGH_ROWS = 10_000


class Block(NamedTuple):
    """Outcomes, as many rows as there are units or a multiple.

    Attributes
    ----------
    rows : PyTree
        As the data.
    log_proposals : Float[Array, "n"]
        Log density under which each row was drawn; zero where all outcomes are listed.
    sums : Sums or None
        Where they were drawn.
    """

    rows: PyTree
    log_proposals: Float[Array, " n"]
    sums: Sums | None


class Recipe(NamedTuple):
    """How draws are made again: where, with which key, and how many blocks."""

    flat: Float[np.ndarray, " p"]
    key: Array
    num_blocks: int


class Outcomes:
    """Outcomes of the working model at one reference parameter, and expectations over them.

    Expectations at other parameters reweight the same outcomes, so that moments are smooth in the
    parameters, for outcomes of any kind.
    """

    def __init__(
        self,
        sample: Sample,
        params: PyTree,
        working: Float[np.ndarray, "m g"],
        key: Array,
        names: tuple[str, ...],
    ):
        self.sample, self.params, self.working = sample, params, working
        self._key, self._names = key, names
        model = eqx.combine(params, sample.held)
        self.exact = can_list(model)
        # Few units are drawn several times at once: a block is not much work then.
        self._times = 1 if self.exact else max(1, -(-_BLOCK_ROWS // sample.weights.size))
        self._repeated = sample.repeated(self._times)
        self._flat = np.asarray(ravel_pytree(params)[0])
        self._weights = jnp.asarray(self._repeated.weights, self._flat.dtype)
        self._blocks: list[Block] = []
        if self.exact:
            zero = jnp.zeros(sample.weights.size, self._flat.dtype)
            self._blocks = [Block(rows, zero, None) for rows in listed(model, sample.data)]
            self._check_listed()

    def again(self, params: PyTree, working: Float[np.ndarray, "m g"]) -> "Outcomes":
        """As many draws at another reference."""
        other = Outcomes(self.sample, params, working, self._key, self._names)
        other.extend(self.num_blocks)
        return other

    @property
    def recipe(self) -> Recipe:
        """How to make them again."""
        return Recipe(self._flat, self._key, self.num_blocks)

    @property
    def num_blocks(self) -> int:
        """Sets of rows that are worked on at once."""
        return len(self._blocks)

    @property
    def num_draws(self) -> int:
        """Draws of each unit; where they are listed, how many outcomes a unit has."""
        return self._times * self.num_blocks

    @property
    def most_blocks(self) -> int:
        """As many as may be drawn."""
        return max(FIRST_BLOCKS, _MAX_ROWS // self._weights.size)

    def extend(self, num_blocks: int) -> None:
        """Draw until there are so many, as far as there may be."""
        num_blocks = min(num_blocks, self.most_blocks)
        if self.exact or num_blocks <= self.num_blocks:
            return
        sample, model = self._repeated, eqx.combine(self.params, self.sample.held)
        for k in range(self.num_blocks, num_blocks):
            rows = drawn(model, self._key, k, sample.data, sample.supp, self.working, sample.labels)
            terms = sample.terms(self.params, rows, self.working)
            self._blocks.append(Block(rows, terms.log_mix, self._sum(terms, terms.log_mix)))
        powers = np.sum([x.sums.powers for x in self._blocks if x.sums is not None], axis=0)
        count = self._flat.size
        check_draws(powers[0, :count], powers[1, count : 2 * count], self._names)

    def moments(self, params: PyTree, ridge: float) -> Moments:
        """The orthogonal score at a parameter."""
        sample = self.sample
        data = sample.terms(params, sample.data, self.working)
        at_reference = bool(np.all(np.asarray(ravel_pytree(params)[0]) == self._flat))
        blocks = [
            block.sums
            if at_reference and block.sums is not None
            else self._sum(
                self._repeated.terms(params, block.rows, self.working), block.log_proposals
            )
            for block in self._blocks
        ]
        num = 1 if self.exact else len(blocks)
        sums = jax.tree.map(
            lambda *x: np.sum(x, axis=0, dtype=np.float64) / num, *jax.device_get(blocks)
        )
        return solve_moments(sample, data, sums, ridge, self._overlap(sums))

    def slope(
        self, params: PyTree, moments: Moments, truth: Float[np.ndarray, "m g"]
    ) -> Float[np.ndarray, "p p"]:
        """Minus the derivative of the mean of ψ if outcomes have some distribution F, not F̃.

        E_{θ,F} ψ_θ = 0 for all θ, so that it is E_{θ,F}[ψ s_Fᵀ], which is linear in F. Only where
        F = F̃ is it J.
        """
        sample, blocks = self._repeated, self._some()
        total = np.zeros(moments.jacobian.shape)
        for block in blocks:
            psi = self._psi(sample.terms(params, block.rows, self.working), moments)
            terms = sample.terms(params, block.rows, truth)
            scores = np.asarray(terms.scores, np.float64)
            total += psi.T @ (self._parts(terms, block)[:, None] * scores)
        return total / (1 if self.exact else len(blocks))

    def simulation(self, params: PyTree, moments: Moments) -> Float[np.ndarray, "p p"]:
        """Variance of the mean of ψ from the draws: Γ moves by (B + κI)⁻¹(dC - dB Γ)."""
        total = np.zeros(moments.jacobian.shape)
        if self.exact:
            return total
        sample, blocks = self._repeated, self._some()
        labels = np.asarray(sample.labels)
        for block in blocks:
            terms = sample.terms(params, block.rows, self.working)
            leans = np.asarray(terms.ratios) @ moments.leverage.T
            parts = self._parts(terms, block) * leans[np.arange(labels.size), labels]
            moves = self._psi(terms, moments) * parts[:, None]
            total += moves.T @ moves
        return total / (len(blocks) * self.num_blocks)

    def _some(self) -> list[Block]:
        """As many as a covariance needs."""
        enough = max(FIRST_BLOCKS, -(-_ENOUGH_ROWS // self._weights.size))
        return self._blocks if self.exact else self._blocks[:enough]

    def _parts(self, terms: RowTerms, block: Block) -> Float[np.ndarray, " n"]:
        density = np.exp(np.asarray(terms.log_mix) - np.asarray(block.log_proposals))
        return self._repeated.weights * density.astype(np.float64)

    def _psi(self, terms: RowTerms, moments: Moments) -> Float[np.ndarray, "n p"]:
        slopes = jnp.asarray(moments.slopes, terms.scores.dtype)
        return np.asarray(residuals(terms, slopes, self._repeated.labels), np.float64)

    def _sum(self, terms: RowTerms, log_proposals: Float[Array, " n"]) -> Sums:
        sample = self._repeated
        return sum_rows(terms, log_proposals, self._weights, sample.labels, sample.num_groups)

    def _check_listed(self) -> None:
        """Whether listed outcomes are all that there are; draws are looked at when drawn."""
        sample = self.sample
        total = sum(
            np.exp(sample.terms(self.params, block.rows, self.working).log_mix)
            for block in self._blocks
        )
        check_listed(np.asarray(total), sample.weights)

    def _overlap(self, sums: Sums) -> float:
        """Effective number of draws, over that at the reference."""
        if self.exact:
            return 1.0
        weights = np.asarray(self._repeated.weights)
        first, second = sums.powers[:, -1]
        return float(first**2 / second * (weights**2).sum() / weights.sum() ** 2)
