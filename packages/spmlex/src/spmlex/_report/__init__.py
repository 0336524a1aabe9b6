"""What is shown and kept of a fit: tables, plots, files.

Functions of a `Fit`, which `FitResult` binds as methods. Numbers come from the rooms below,
sentences from here.
"""

from ._coefficients import plot_coefficients as plot_coefficients
from ._plots import plot_distribution as plot_distribution
from ._plots import plot_gradient as plot_gradient
from ._plots import plot_history as plot_history
from ._plots import plot_profile as plot_profile
from ._save import FORMAT as FORMAT
from ._save import describe as describe
from ._save import is_array as is_array
from ._save import model_arrays as model_arrays
from ._save import save as save
from ._save import write as write
from ._summary import compare as compare
from ._summary import summary as summary
