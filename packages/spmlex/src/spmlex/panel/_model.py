"""The model of a panel, as `fit` takes it."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PyTree

from ._families import AbstractFamily, Normal
from ._lags import Lag

Supp = Float[Array, " m"] | dict[str, Float[Array, " m"]]


class PanelModel(eqx.Module):
    """Outcomes of one family whose index is x'β + z'v, v the latent variable of the unit.

    An ordinary model: it can be fitted by hand, and changed. `data` is a dict of arrays with the
    units on the leading axis and their rows on the next, padded to the longest unit by copies of
    its first row:

    - `x` (n, T, k), `z` (n, T, q): columns of the common and of the heterogeneous coefficients;
    - `offset` (n, T), added to the index;
    - `mask` (n, T), false for padding;
    - `rows`, a dict of what the family says of the outcomes;
    - `source` (n, T, L), for each lagged outcome among the columns of `x` the position in the
      unit's rows from which it comes, -1 for one that is not among them;
    - for the normal family `basis` (n, T, q) and `root` (n, q, q), z of each unit as the product of
      an orthonormal and a triangular matrix.

    Of a conditional logit, `x`, `z` and `offset` have the alternatives on an axis after T.

    Attributes
    ----------
    beta : Float[Array, "k"] or None
        Common coefficients.
    shape : Float[Array, "s"] or None
        Parameters of the family: `log_sigma`, `log_alpha`, …
    family : AbstractFamily
        The conditional distribution of outcomes.
    columns : tuple of str
        Names of the common coefficients.
    effects : tuple of str
        Names of the heterogeneous ones.
    lags : tuple of Lag
        Which columns of `x` are functions of lagged outcomes, and of how many periods before.
    follows_lags : bool
        Whether `sample` knows how the regressors of later rows depend on earlier outcomes.

    Examples
    --------
    With `panel` from the example of `Panel`:

    >>> from spmlex.panel import PanelModel
    >>> isinstance(panel.model, PanelModel)
    True
    >>> panel.model.lclk(panel.data, panel.supp).shape[0]
    200
    """

    beta: Float[Array, " k"] | None
    shape: Float[Array, " s"] | None
    family: AbstractFamily = eqx.field(static=True)
    columns: tuple[str, ...] = eqx.field(static=True)
    effects: tuple[str, ...] = eqx.field(static=True)
    lags: tuple[Lag, ...] = eqx.field(static=True, default=())
    follows_lags: bool = eqx.field(static=True, default=True)

    @property
    def coef_names(self) -> dict[str, tuple[str, ...]]:
        """Names of the entries of `beta` and `shape`."""
        names = {"beta": self.columns, "shape": self.family.shape_names}
        return {array: entries for array, entries in names.items() if entries}

    @property
    def can_draw(self) -> bool:
        """Whether outcomes can be drawn, by `sample`."""
        return self.follows_lags and self.family.can_draw

    def common_index(self, x: Float[Array, "*rows k"], offset: Array) -> Float[Array, "*rows"]:
        """The part of the index that is the same at all support points."""
        if self.beta is None:
            return offset
        return jnp.matmul(x, self.beta, precision=lax.Precision.HIGHEST) + offset

    def lclk(self, data: dict[str, Any], supp: Supp) -> Float[Array, "n m"]:
        """Log density of the outcomes of each unit, were its effect each of the support points."""
        index, points = self.common_index(data["x"], data["offset"]), self.points(supp)
        if isinstance(self.family, Normal):
            return self._normal(data, index, points)

        def add(total: Array, period: PyTree) -> tuple[Array, None]:
            rows, index, z, mask = period
            rows = jax.tree.map(lambda x: x[..., None], rows)
            effect = jnp.matmul(z, points.T, precision=lax.Precision.HIGHEST)
            value = self.family.log_density(rows, index[..., None] + effect, self.shape)
            return total + jnp.where(mask[:, None], value, 0.0), None

        periods = (data["rows"], index, data["z"], data["mask"])
        periods = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), periods)
        total = jnp.zeros((index.shape[0], points.shape[0]), jnp.result_type(index, points))
        return lax.scan(add, total, periods)[0]

    def _normal(self, data: dict[str, Any], index: Array, points: Array) -> Float[Array, "n m"]:
        """The sum of squares over a unit's rows, split into what an effect can change and the rest.

        With z = QR of a unit: |r - z v|² = |r - Q Q'r|² + |Q'r - R v|².
        """
        assert self.shape is not None
        log_sigma, basis, root = self.shape[0], data["basis"], data["root"]
        residual = jnp.where(data["mask"], data["rows"]["y"] - index, 0.0)
        along = jnp.einsum("ntq,nt->nq", basis, residual, precision=lax.Precision.HIGHEST)
        rest = residual - jnp.einsum("ntq,nq->nt", basis, along, precision=lax.Precision.HIGHEST)
        effect = jnp.einsum("nrq,mq->nmr", root, points, precision=lax.Precision.HIGHEST)
        squares = jnp.sum(rest**2, axis=1)[:, None]
        squares = squares + jnp.sum((along[:, None, :] - effect) ** 2, axis=-1)
        num_rows = jnp.sum(data["mask"], axis=1).astype(index.dtype)[:, None]
        log_scale = log_sigma + 0.5 * jnp.log(2 * jnp.pi).astype(index.dtype)
        return -0.5 * squares * jnp.exp(-2 * log_sigma) - num_rows * log_scale

    def points(self, supp: Supp) -> Float[Array, "m q"]:
        """Support points, or latent variables of units, as rows of a matrix."""
        if isinstance(supp, Mapping):
            return jnp.stack([supp[name] for name in self.effects], axis=-1)
        return supp[:, None]

    def sample(self, key: Array, data: dict[str, Any], latent: Supp) -> dict[str, Any]:
        """New outcomes of each unit, given its effect; lagged outcomes follow them.

        With a logarithmic link and lags, a unit is followed until an outcome exceeds all those of
        `data`, and masked from the row after: there outcomes that enter the next mean by its
        logarithm would grow without bound, and have no moments. That is a rule of observation which
        outcomes up to then decide, so that the likelihood of what is seen stays what `lclk` says.

        Raises
        ------
        TypeError
            Where regressors depend on earlier outcomes in a way that is not known here.
        """
        if not self.follows_lags:
            raise TypeError(
                "Outcomes cannot be drawn: a column of the formula depends on earlier outcomes "
                "in a way that draws cannot follow. Numbers that are functions of one lag, such as "
                "`lag(y)` or `log(1 + lag(y))`, can be followed."
            )
        values = self.points(latent)
        effect = jnp.sum(data["z"] * _like_rows(values, data["z"]), axis=-1)
        if not self.lags:
            index = self.common_index(data["x"], data["offset"]) + effect
            return data | {"rows": self.family.draw(key, data["rows"], index, self.shape)}
        places = jnp.asarray([self.columns.index(lag.column) for lag in self.lags])
        outcomes, largest = data["rows"]["y"], jnp.inf
        if self.family.log_link:
            largest = jnp.max(jnp.where(data["mask"], outcomes, -jnp.inf))

        def step(state: tuple[Array, Array], period: PyTree) -> tuple[PyTree, PyTree]:
            """Draw the outcomes of one row, after those of the rows before."""
            drawn, followed = state
            t, key, rows, x, source, offset, effect = period
            before = jnp.take_along_axis(drawn, jnp.maximum(source, 0), axis=1)
            lagged = jnp.stack([lag(before[:, k]) for k, lag in enumerate(self.lags)], axis=1)
            x = x.at[:, places].set(jnp.where(source >= 0, lagged, x[:, places]))
            index = self.common_index(x, offset) + effect
            rows = self.family.draw(key, rows, index, self.shape)
            outcome = rows["y"].astype(drawn.dtype)
            # Of units that are followed no longer the lags stay where nothing overflows.
            state = (
                drawn.at[:, t].set(jnp.minimum(outcome, largest)),
                followed & (outcome <= largest),
            )
            return state, (rows, x, followed)

        num_units, num_rows = data["mask"].shape
        of_rows = (data["rows"], data["x"], data["source"], data["offset"], effect)
        of_rows = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), of_rows)
        periods = (jnp.arange(num_rows), jax.random.split(key, num_rows), *of_rows)
        start = jnp.zeros_like(data["offset"]), jnp.ones(num_units, bool)
        _, found = lax.scan(step, start, periods)
        rows, x, followed = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), found)
        return data | {"rows": rows, "x": x, "mask": data["mask"] & followed}


def _like_rows(values: Float[Array, "n q"], z: Array) -> Array:
    """One latent variable a unit, for each of its rows."""
    return values.reshape(values.shape[0], *[1] * (z.ndim - 2), values.shape[1])
