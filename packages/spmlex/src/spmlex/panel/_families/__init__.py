"""Families of outcomes: their densities, exact and stable in the tails."""

from ._base import AbstractDistribution as AbstractDistribution
from ._base import AbstractFamily as AbstractFamily
from ._base import Outcome as Outcome
from ._base import Rows as Rows
from ._base import Shape as Shape
from ._base import as_numbers as as_numbers
from ._binary import AbstractBinary as AbstractBinary
from ._binary import Logit as Logit
from ._binary import Probit as Probit
from ._choice import ConditionalLogit as ConditionalLogit
from ._counts import NegativeBinomial as NegativeBinomial
from ._counts import Poisson as Poisson
from ._durations import AbstractDuration as AbstractDuration
from ._durations import Exponential as Exponential
from ._durations import Weibull as Weibull
from ._normal import Normal as Normal
from ._ordered import AbstractOrdered as AbstractOrdered
from ._ordered import OrderedLogit as OrderedLogit
from ._ordered import OrderedProbit as OrderedProbit

FAMILIES: dict[str, type[AbstractFamily]] = {
    family.name: family
    for family in (
        Normal,
        Logit,
        Probit,
        Poisson,
        NegativeBinomial,
        OrderedLogit,
        OrderedProbit,
        Exponential,
        Weibull,
        ConditionalLogit,
    )
}
"""By the names that `Panel` takes."""
