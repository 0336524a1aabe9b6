"""A panel and its fits."""

import os

import optimistix as optx
from jaxtyping import PyTree

from mixsqpx import AbstractMixSolver

from .._fit import fit_multistart
from .._load import load
from .._result import FitResult
from ._design import Design
from ._orthogonal import PanelOrthogonalResult
from ._result import PanelResult


class Panel(Design):
    """A model of panel data, read from a data frame by a formula.

    `fit` estimates it. `model`, `data`, `supp`, `groups` and `weights` are what `spmlex.fit` takes:
    with them all else that the package does can be done by hand.

    Outcomes of a unit are independent given its latent variable v and the regressors, with index
    x'β + z'v: x are the columns of the formula and β their coefficients, z the columns of
    `heterogeneous`, whose coefficients v differ between units in a way that is left free. v is
    taken to be independent of the regressors, within groups; `means` and `groups` are ways to let
    it depend on them.

    Parameters
    ----------
    formula : str
        As `formulaic` reads it, such as `"union ~ married + educ + C(year)"`: interactions,
        categories, functions. Beside formulaic's own there are `lag(x)` and `lag(x, k)`, the value
        k periods before, and `initial(x)`, that of the unit's first row. Columns of `heterogeneous`
        have no common coefficient, so that the intercept is the latent variable's.
    frame : data frame
        One row for each unit and period: of pandas, or of a library that narwhals knows, such as
        polars; a dict of columns. Rows in which something is missing are left out, and counted.
    unit : str
        Column that says which unit a row is of: labels of any kind.
    time : str, optional
        Column that says when a row is of. Times are numbered as they occur in the frame, so that
        `lag` is the value at the time before. A unit has one row of a time.
    family : str
        `"normal"`, `"logit"`, `"probit"`, `"poisson"`, `"negative binomial"`, `"ordered logit"`,
        `"ordered probit"`, `"exponential"`, `"weibull"`, `"conditional logit"`.
    heterogeneous : str
        Terms whose coefficients differ between units: `"1"`, `"1 + x"`, `"0 + x"`.
    grid : vector, or dict of str to vectors, optional
        Values of the heterogeneous coefficient, or of each by its column's name: the support are
        all combinations. That of another panel is its `supp`. By default they are chosen from what
        the rows of each unit say, see the page on panels.
    weights, clusters : str, optional
        Columns that are the same in all rows of a unit: see `fit`, and `cov` of the result.
    groups : str, optional
        Column, or expression such as `"initial(union)"`: units of each value have a distribution of
        their own.
    offset, exposure : str, optional
        Columns that are added to the index, and whose logarithm is.
    trials : str, optional
        For `"logit"` and `"probit"`: the number of trials of a row, of which the outcome counts
        the successes.
    event : str, optional
        For durations: one for spells that ended, zero for those that were cut off.
    alternative : str, optional
        For `"conditional logit"`: the column that says which alternative a row describes. An
        occasion, a unit and a time, has a row for each; the outcome is one for what was chosen.
    means : bool
        Whether the means within units of all regressors that vary there are regressors, too
        (Mundlak, 1978; Chamberlain, 1982): the effect may then depend on them.
    center : bool
        Whether common columns are measured from their means over the rows, where the intercept is
        heterogeneous: it is then the index of a unit whose regressors are average, and whose lagged
        outcomes, which stay as they are, are zero. Coefficients mean the same. But on a grid, that
        of a regressor far from zero moves the intercepts that units want, and the likelihood has a
        local maximum wherever these meet points of the grid.

    Attributes
    ----------
    model : PanelModel
        At pooled estimates.
    data : dict
        Arrays with the units on the leading axis; see `PanelModel`.
    supp : Float[Array, "m"] or dict of str to Float[Array, "m"]
        Support points.
    groups, weights, clusters : numpy arrays or None
        Of each unit, as `fit` takes them; groups and clusters are numbered.
    units : numpy array
        Label of each unit, in the order of the arrays.
    group_labels : numpy array or None
        Label of each group.
    num_rows : int
        Number of rows that are used.
    dropped : dict of str to int
        Number of rows that are not, by what is missing there.

    Raises
    ------
    TypeError, ValueError
        For what cannot be read or has no estimate: unknown columns, infinite values, two rows of
        one unit and time, outcomes that the family does not have, columns that depend on each
        other or predict the outcome without error. Column and row are named.
    ImportError
        Without formulaic and pandas: `pip install 'spmlex[panel]'`.

    Examples
    --------
    With the data of the example of `spmlex.fit`, in a frame:

    >>> import pandas as pd
    >>> from spmlex.panel import Panel
    >>> unit, time = np.divmod(np.arange(800), 4)
    >>> frame = pd.DataFrame({"unit": unit, "time": time, "x": x.ravel(), "y": y.ravel()})
    >>> panel = Panel("y ~ x", frame, unit="unit", time="time", family="logit")
    >>> found = panel.fit(starts=1)
    >>> found.param_names
    ('x',)
    """

    def fit(
        self,
        *,
        starts: int = 10,
        minimiser: optx.AbstractMinimiser | None = None,
        mix_solver: AbstractMixSolver | None = None,
        free: PyTree[bool] | None = None,
        max_steps: int = 500,
        progress: bool = False,
        throw: bool = True,
    ) -> PanelResult:
        """Estimate from several starts, and keep the best fit.

        Parameters
        ----------
        starts : int
            Number of starts, see the method of this name.
        minimiser, mix_solver, free, max_steps, progress, throw
            See `fit_multistart`.

        Returns
        -------
        PanelResult
            A `FitResult` that also predicts. `print` it.

        Raises
        ------
        ValueError
            If there is nothing to estimate but the distribution.
        RuntimeError
            If no start ends at a stationary point.
        """
        if self.model.beta is None and self.model.shape is None:
            raise ValueError(
                f"`{self.formula}` has no common coefficient, and the family no parameter: only "
                "the distribution is to be estimated. `mixsqpx.mixsolve(panel.model.lclk("
                "panel.data, panel.supp))` does that."
            )
        found = fit_multistart(
            self.starts(starts),
            self.data,
            self.supp,
            groups=self.groups,
            weights=self.weights,
            minimiser=minimiser,
            mix_solver=mix_solver,
            free=free,
            max_steps=max_steps,
            progress=progress,
            throw=throw,
        )
        return PanelResult.of(found.best, self, found)

    def load(self, path: str | os.PathLike[str]) -> PanelResult | PanelOrthogonalResult:
        """Read a fit of this panel, or orthogonal estimates, that `save` of a result wrote.

        Parameters
        ----------
        path : str or path

        Returns
        -------
        PanelResult or PanelOrthogonalResult
            `several` of the former is None, as a file keeps the best fit alone.

        Raises
        ------
        FileNotFoundError, ValueError
            See `spmlex.load`.
        """
        found = load(path, self.model, data=self.data)
        if isinstance(found, FitResult):
            return PanelResult.of(found, self, None)
        return PanelOrthogonalResult.of(found, self)
