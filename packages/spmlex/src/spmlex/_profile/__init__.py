"""The profile likelihood at given parameters: its value, the distribution there, and derivatives.

The inner problem is solved by `mixsqpx`, and differentiated by the implicit function theorem.
Everything here can be traced.
"""

from ._expansion import expand_profile as expand_profile
from ._expansion import expansion_work as expansion_work
from ._profile import Profile as Profile
from ._profile import default_mix_solver as default_mix_solver
from ._profile import profile_ll as profile_ll
from ._profile import solve_profile as solve_profile
