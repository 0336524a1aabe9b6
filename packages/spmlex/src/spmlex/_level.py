"""The level of an interval."""

from statistics import NormalDist


def critical_value(level: float) -> float:
    """Quantile of the normal distribution for a two-sided interval.

    Raises
    ------
    ValueError
        For a level that is no probability.
    """
    if not 0 < level < 1:
        raise ValueError(f"`level` must be between 0 and 1, such as 0.95, but it is {level!r}.")
    return -NormalDist().inv_cdf((1 - level) / 2)
