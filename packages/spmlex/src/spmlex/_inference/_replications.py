"""What the bootstrap found."""

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float

from .._level import critical_value
from .._table import ESTIMATE, STD_ERR, Row, Table, number


class Bootstrap(eqx.Module):
    """Estimates of the parameters under random weights. `print` shows a table.

    Attributes
    ----------
    estimate : Float[np.ndarray, "p"]
        That of the sample.
    estimates : Float[np.ndarray, "b p"]
        One row a replication; NaN where the search failed.
    param_names : tuple of str
        Of the columns.

    Examples
    --------
    With `result` from the example of `fit`:

    >>> replications = result.bootstrap(jax.random.key(0), num=20)
    >>> replications.estimates.shape
    (20, 1)
    >>> replications.num_failed
    0
    """

    estimate: Float[np.ndarray, " p"]
    estimates: Float[np.ndarray, "b p"]
    param_names: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def summary(self, level: float = 0.95) -> Table:
        """Table of estimates, standard errors and percentile intervals.

        Parameters
        ----------
        level : float
            Probability that an interval covers, strictly between 0 and 1.

        Returns
        -------
        Table
            `print` it, show it in a notebook, or call `to_frame` or `to_latex`.

        Raises
        ------
        ValueError
            For a level that is no probability.
        """
        ends, tail = self.conf_int(level), (1 - level) / 2
        numbers: dict[str | tuple[str, str], np.ndarray] = {
            ESTIMATE: self.estimate,
            STD_ERR: self.std_errors,
            f"[{tail:.10g}": ends[:, 0],
            f"{1 - tail:.10g}]": ends[:, 1],
        }
        rows = zip(*numbers.values(), strict=True)
        return Table(
            title="Bootstrap",
            header=(
                ("Replications", f"{len(self.estimates)}"),
                ("of them failed", f"{self.num_failed}"),
            ),
            columns=tuple(map(str, numbers)),
            sections=(
                tuple(
                    Row(name, tuple(map(number, row)))
                    for name, row in zip(self.param_names, rows, strict=True)
                ),
            ),
            notes=("The intervals are percentiles of the replications.",),
            numbers=numbers,
            index=self.param_names,
        )

    @property
    def succeeded(self) -> Bool[np.ndarray, " b"]:
        """Which replications ended at a stationary point; all else is of these alone."""
        return np.asarray(np.isfinite(self.estimates).all(axis=1))

    @property
    def num_failed(self) -> int:
        """Number of replications without an estimate."""
        return int(np.sum(~self.succeeded))

    @property
    def cov(self) -> Float[np.ndarray, "p p"]:
        """Covariance of the replications around their mean."""
        return np.atleast_2d(np.cov(self.estimates[self.succeeded], rowvar=False))

    @property
    def std_errors(self) -> Float[np.ndarray, " p"]:
        """Standard deviations of the replications."""
        return np.sqrt(np.diagonal(self.cov))

    def conf_int(self, level: float = 0.95, kind: str = "percentile") -> Float[np.ndarray, "p 2"]:
        """Confidence intervals.

        Parameters
        ----------
        level : float
            Probability that an interval covers, strictly between 0 and 1.
        kind : {"percentile", "normal"}
            Quantiles of the replications, or the estimate plus and minus a multiple of the
            standard error.

        Returns
        -------
        Float[np.ndarray, "p 2"]
            Lower and upper ends.

        Raises
        ------
        ValueError
            For an unknown kind, and a level that is no probability.
        """
        multiple = critical_value(level)
        if kind == "normal":
            half = multiple * self.std_errors
            return np.stack([self.estimate - half, self.estimate + half], axis=1)
        if kind == "percentile":
            ends = [0.5 - level / 2, 0.5 + level / 2]
            return np.quantile(self.estimates[self.succeeded], ends, axis=0).T
        raise ValueError(f"`kind` must be 'percentile' or 'normal', not {kind!r}.")
