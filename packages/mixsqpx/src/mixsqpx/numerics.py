"""Arithmetic that a model shares with the solver: full precision, and weights that sum to one."""

from ._problem import normalise_weights as normalise_weights
from ._product import product as product

__all__ = ["normalise_weights", "product"]
