"""The orthogonal score, its mean over the sample, and what its expectations say."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._draws import Blocks, can_list, check_draws, check_listed, drawn, listed
from ._rows import RowTerms, Sums, group_means, residuals, row_terms, sum_rows

# Blocks of draws: at least four, which tell their own spread, of a thousand rows at least, and no
# more rows than this in all.
FIRST_BLOCKS, _BLOCK_ROWS, _MAX_ROWS = 4, 1_000, 400_000


class Sample(NamedTuple):
    """What the moments are of: the model but for its free parameters, and the units.

    Attributes
    ----------
    held : PyTree
        The model without its free parameters.
    data, supp : PyTree
        As for `fit`; units of no weight have the data of one that counts.
    weights : Float[np.ndarray, "n"]
        They sum to one.
    labels : Int[Array, "n"]
        Group of each unit, zero if there are none.
    num_groups : int
    """

    held: PyTree
    data: PyTree
    supp: PyTree
    weights: Float[np.ndarray, " n"]
    labels: Int[Array, " n"]
    num_groups: int

    def terms(self, params: PyTree, rows: PyTree, working: Float[np.ndarray, "m g"]) -> RowTerms:
        """Log densities, scores and ratios of rows."""
        dtype = ravel_pytree(params)[0].dtype
        return row_terms(
            params, self.held, rows, self.supp, jnp.asarray(working, dtype), self.labels
        )

    def repeated(self, times: int) -> "Sample":
        """The same units several times, with as much weight together."""
        if times == 1:
            return self

        def repeat(x: Any) -> Any:
            return jnp.concatenate([x] * times) if eqx.is_array(x) else x

        return self._replace(
            data=jax.tree.map(repeat, self.data),
            weights=np.tile(self.weights / times, times),
            labels=repeat(self.labels),
        )

    def unravel(self, params: PyTree, flat: Float[np.ndarray, " p"]) -> PyTree:
        """Parameters like `params` from their flat values."""
        like, unravel = ravel_pytree(params)
        return unravel(jnp.asarray(flat, like.dtype))


class Moments(NamedTuple):
    """The orthogonal score ψ = s - ΓᵀD at one parameter, Γ = (B + κI)⁻¹C.

    Attributes
    ----------
    weighted : Float[np.ndarray, "n p"]
        ω ψ of each unit: what it adds to the mean.
    mean : Float[np.ndarray, "p"]
        Their sum, the mean of ψ, which is zero at the estimate.
    jacobian : Float[np.ndarray, "p p"]
        J = E[ψsᵀ], minus the derivative of the mean: the efficient information of a unit.
    info : Float[np.ndarray, "p p"]
        E[ssᵀ]: the information of a unit were its distribution known to be the working one.
    simulation : Float[np.ndarray, "p p"]
        Variance of the mean from the draws, by their spread between blocks.
    overlap : float
        Effective number of draws over their number: one where they are from this very model.
    slopes : Float[np.ndarray, "g m p"]
        Γ.
    cross : Float[np.ndarray, "g m m"]
        B, times the share of each group.
    shares : Float[np.ndarray, "g"]
        Weight of each group.
    ratios : Float[Array, "n m"]
        D of the units.
    """

    weighted: Float[np.ndarray, "n p"]
    mean: Float[np.ndarray, " p"]
    jacobian: Float[np.ndarray, "p p"]
    info: Float[np.ndarray, "p p"]
    simulation: Float[np.ndarray, "p p"]
    overlap: float
    slopes: Float[np.ndarray, "g m p"]
    cross: Float[np.ndarray, "g m m"]
    shares: Float[np.ndarray, " g"]
    ratios: Float[Array, "n m"]

    @property
    def meat(self) -> Float[np.ndarray, "p p"]:
        """Σ ω² ψψᵀ: the variance of the mean."""
        return self.weighted.T @ self.weighted

    @property
    def norm(self) -> float:
        """Length of the mean in its own standard errors: the certificate of a root."""
        return float(np.sqrt(max(self.mean @ np.linalg.solve(self.meat, self.mean), 0.0)))

    @property
    def is_finite(self) -> bool:
        """Whether there is anything to work with."""
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.jacobian).all())

    def keep(self, some: Bool[np.ndarray, " p"]) -> "Moments":
        """Those of some of the parameters, the others held fixed."""
        square = np.ix_(some, some)
        return self._replace(
            weighted=self.weighted[:, some],
            mean=self.mean[some],
            jacobian=self.jacobian[square],
            info=self.info[square],
            simulation=self.simulation[square],
            slopes=self.slopes[:, :, some],
        )


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
        self._block = sample.repeated(self._times)
        self._rows: list[PyTree] = list(listed(model, sample.data)) if self.exact else []
        zero = np.zeros(sample.weights.size)
        self._log_proposals: list[Any] = [zero for _ in self._rows]

    def again(self, params: PyTree, working: Float[np.ndarray, "m g"]) -> "Outcomes":
        """As many draws at another reference."""
        other = Outcomes(self.sample, params, working, self._key, self._names)
        other.extend(self.num_blocks)
        return other

    @property
    def num_blocks(self) -> int:
        """Sets of rows that are worked on at once."""
        return len(self._rows)

    @property
    def num_draws(self) -> int:
        """Draws of each unit; where they are listed, how many outcomes a unit has."""
        return self._times * self.num_blocks

    @property
    def most_blocks(self) -> int:
        """As many as may be drawn."""
        return max(FIRST_BLOCKS, _MAX_ROWS // self._block.weights.size)

    def extend(self, num_blocks: int) -> None:
        """Draw until there are so many, as far as there may be."""
        num_blocks = min(num_blocks, self.most_blocks)
        if self.exact or num_blocks <= self.num_blocks:
            return
        sample, model = self._block, eqx.combine(self.params, self.sample.held)
        for k in range(self.num_blocks, num_blocks):
            key = jax.random.fold_in(self._key, k)
            rows = drawn(model, key, sample.data, sample.supp, self.working, sample.labels)
            terms = sample.terms(self.params, rows, self.working)
            self._rows.append(rows)
            self._log_proposals.append(terms.log_mix)
        self._check()

    def blocks(self) -> Blocks:
        """The outcomes."""
        log_num = 0.0 if self.exact else float(np.log(self.num_blocks))
        return Blocks(
            tuple(self._rows),
            tuple(log_q + log_num for log_q in self._log_proposals),
            self.exact,
        )

    def _check(self) -> None:
        """Whether the draws are from the density of the model."""
        sums = [block for block, _ in self._sums(self.params)]
        mean, square = (np.sum([x[k] for x in sums], axis=0) for k in (3, 4))
        check_draws(np.asarray(mean), np.asarray(square), self._names)

    def check(self) -> None:
        """Whether listed outcomes are all that there are; draws are looked at when drawn."""
        if self.exact:
            total = sum(
                np.exp(self.sample.terms(self.params, rows, self.working).log_mix)
                for rows in self._rows
            )
            check_listed(np.asarray(total), self.sample.weights)

    def _sums(self, params: PyTree) -> list[tuple[Sums, np.ndarray]]:
        """Sums over each block, and the part of the expectation of each of its rows."""
        sample, found = self._block, []
        for rows, log_q in zip(*self.blocks()[:2], strict=True):
            terms = sample.terms(params, rows, self.working)
            parts = sample.weights * np.exp(np.asarray(terms.log_mix) - np.asarray(log_q))
            sums = sum_rows(terms, as_dtype(parts, terms.scores), sample.labels, sample.num_groups)
            found.append((sums, parts))
        return found

    def moments(self, params: PyTree, ridge: float) -> Moments:
        """The orthogonal score at a parameter."""
        sample = self.sample
        num_groups = sample.num_groups
        data = sample.terms(params, sample.data, self.working)
        found = self._sums(params)
        blocks = jax.device_get([sums for sums, _ in found])
        cross = np.sum([b.cross for b in blocks], axis=0, dtype=np.float64)
        with_scores = np.sum([b.with_scores for b in blocks], axis=0, dtype=np.float64)
        info = np.sum([b.scores for b in blocks], axis=0, dtype=np.float64)
        shares = np.bincount(np.asarray(sample.labels), sample.weights, num_groups)
        eye = ridge * np.eye(cross.shape[1])
        means = np.asarray(
            group_means(
                data.ratios, as_dtype(sample.weights, data.scores), sample.labels, num_groups
            ),
            np.float64,
        )
        # Of each group: the slopes, and how much each support point leans on the draws.
        solved = [
            np.linalg.solve(b + share * eye, np.column_stack([c, mean]))
            for b, c, mean, share in zip(cross, with_scores, means, shares, strict=True)
        ]
        slopes = np.stack([both[:, :-1] for both in solved])
        psi = np.asarray(residuals(data, as_dtype(slopes, data.scores), sample.labels), np.float64)
        weighted = sample.weights[:, None] * psi
        return Moments(
            weighted=weighted,
            mean=weighted.sum(axis=0),
            jacobian=info - np.einsum("gmp,gmq->pq", with_scores, slopes),
            info=info,
            simulation=self._simulation(blocks, slopes, [both[:, -1] for both in solved]),
            overlap=self._overlap([parts for _, parts in found]),
            slopes=slopes,
            cross=cross,
            shares=shares,
            ratios=data.ratios,
        )

    def slope(
        self, params: PyTree, moments: Moments, truth: Float[np.ndarray, "m g"]
    ) -> Float[np.ndarray, "p p"]:
        """Minus the derivative of the mean of ψ if outcomes have some distribution F, not F̃.

        E_{θ,F} ψ_θ = 0 for all θ, so that it is E_{θ,F}[ψ s_Fᵀ], which is linear in F. Only where
        F = F̃ is it J.
        """
        sample, total = self._block, np.zeros(moments.jacobian.shape)
        slopes = jnp.asarray(moments.slopes, moments.ratios.dtype)
        for rows, log_q in zip(*self.blocks()[:2], strict=True):
            terms = sample.terms(params, rows, self.working)
            true = sample.terms(params, rows, truth)
            parts = sample.weights * np.exp(np.asarray(true.log_mix) - np.asarray(log_q))
            psi = np.asarray(residuals(terms, slopes, sample.labels), np.float64)
            total += (psi * parts[:, None]).T @ np.asarray(true.scores, np.float64)
        return total

    def _simulation(
        self, blocks: list[Sums], slopes: np.ndarray, leverage: list[np.ndarray]
    ) -> Float[np.ndarray, "p p"]:
        """Variance of the mean of ψ from the draws: Γ moves by (B + κI)⁻¹(dC - dB Γ)."""
        num_blocks = len(blocks)
        if self.exact:
            return np.zeros((slopes.shape[2],) * 2)
        shifts = np.stack(
            [
                sum(
                    x @ (c - b @ slope)
                    for x, b, c, slope in zip(
                        leverage, block.cross, block.with_scores, slopes, strict=True
                    )
                )
                for block in blocks
            ]
        )
        spread = shifts - shifts.mean(axis=0)
        return num_blocks / max(num_blocks - 1, 1) * spread.T @ spread

    def _overlap(self, parts: list[np.ndarray]) -> float:
        """Effective number of draws, over that at the reference."""
        if self.exact:
            return 1.0
        weights = self._block.weights
        now = sum(x.sum() for x in parts) ** 2 / sum((x**2).sum() for x in parts)
        then = len(parts) * weights.sum() ** 2 / (weights**2).sum()
        return float(now / then)


def as_dtype(x: np.ndarray, like: Array) -> Array:
    """On the device, in the precision of the model."""
    return jnp.asarray(x, like.dtype)
