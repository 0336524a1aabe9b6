"""Options of the orthogonal estimator."""

import equinox as eqx


class Orthogonal(eqx.Module):
    """How the orthogonal score is made. The defaults are those of `benchmarks/coverage`.

    Attributes
    ----------
    em_steps : int
        EM steps from equal masses to the working distribution F̃. Any distribution is valid; one
        close to the truth is efficient, and one that follows the noise is neither: with some
        hundred units three steps make the standard errors too small, and ten more so.
    ridge : float
        κ, added to the eigenvalues of the information operator of F, which are between zero and
        one. What it moves the estimates by is reported.
    simulation_tol : float
        Outcomes are drawn until the error of simulation is below this part of each standard error;
        at 0.25 it adds three per cent to them. It is part of the standard errors that are reported.

    Examples
    --------
    The model and the data are those of the example of `fit`.

    >>> options = spmlex.Orthogonal(ridge=1e-5)
    >>> other = spmlex.fit_orthogonal(model, data, supp, jax.random.key(0), options=options)
    >>> bool(abs(other.estimates[0] - orthogonal.estimates[0]) < orthogonal.std_errors()[0])
    True
    """

    em_steps: int = eqx.field(default=1, static=True)
    ridge: float = eqx.field(default=1e-4, static=True)
    simulation_tol: float = eqx.field(default=0.25, static=True)

    def __check_init__(self) -> None:
        """Refuse what makes no score."""
        if isinstance(self.em_steps, bool) or not isinstance(self.em_steps, int):
            raise TypeError(f"`em_steps` must be an integer, but it is {self.em_steps!r}.")
        if self.em_steps < 0:
            raise ValueError(f"`em_steps` must not be negative, but it is {self.em_steps}.")
        for name in ("ridge", "simulation_tol"):
            if not getattr(self, name) > 0:
                raise ValueError(f"`{name}` must be positive, but it is {getattr(self, name)!r}.")
