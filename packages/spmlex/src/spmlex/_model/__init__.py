"""What the user hands in: models, data, support points, units and their groups.

Arguments are checked and turned into arrays here, and `lclk` is called here. Nothing in this room
knows of distributions, of searches or of estimates.
"""

from ._arrays import as_arrays as as_arrays
from ._arrays import as_inputs as as_inputs
from ._arrays import check_key as check_key
from ._arrays import leading_length as leading_length
from ._arrays import replace_units as replace_units
from ._arrays import take as take
from ._coordinates import as_axis as as_axis
from ._coordinates import coordinate_of as coordinate_of
from ._coordinates import coordinates as coordinates
from ._coordinates import from_coordinates as from_coordinates
from ._coordinates import product_grid as product_grid
from ._function_model import FunctionModel as FunctionModel
from ._functions import as_named as as_named
from ._functions import checked_function as checked_function
from ._leaves import describe_leaf as describe_leaf
from ._leaves import leaf_name as leaf_name
from ._leaves import split_model as split_model
from ._likelihood import check_model as check_model
from ._likelihood import log_lik_of as log_lik_of
from ._names import param_names as param_names
from ._units import Groups as Groups
from ._units import as_groups as as_groups
from ._units import as_labels as as_labels
from ._units import as_weights as as_weights
from ._units import check_weights as check_weights
from ._units import is_concrete as is_concrete
