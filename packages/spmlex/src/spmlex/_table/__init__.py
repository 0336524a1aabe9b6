"""Tables and how numbers are set in them. No estimate is known here."""

from ._coefficients import ESTIMATE as ESTIMATE
from ._coefficients import STD_ERR as STD_ERR
from ._coefficients import coefficient_table as coefficient_table
from ._coefficients import end_names as end_names
from ._coefficients import entry_names as entry_names
from ._coefficients import number as number
from ._coefficients import numeric_table as numeric_table
from ._one_row import one_row as one_row
from ._table import Row as Row
from ._table import Table as Table
