"""How a fit can end."""

import optimistix as optx


class RESULTS(optx.RESULTS):  # pyright: ignore[reportGeneralTypeIssues]
    """How a fit ended; `RESULTS[result.result]` is the message.

    Examples
    --------
    With `result` from the example of `fit`:

    >>> bool(result.result == spmlex.RESULTS.successful)
    True
    >>> print(spmlex.RESULTS[spmlex.RESULTS.fit_max_steps_reached])
    The minimiser reached its step limit. Raise `max_steps`, or start elsewhere.
    """

    successful = ""
    fit_max_steps_reached = (
        "The minimiser reached its step limit. Raise `max_steps`, or start elsewhere."
    )
    gradient_not_small = (
        "The minimiser stopped where the gradient of the profile likelihood is not small, so this "
        "is not an estimate. Use the default minimiser, tighten the tolerances of yours, or start "
        "elsewhere."
    )
    not_finite_at_start = (
        "The profile likelihood or its derivatives are not finite at the starting `model`."
    )
    inner_problem_failed = (
        "At the last model the mixture proportions could not be solved for to the tolerance of "
        "`mix_solver`."
    )
    minimiser_failed = (
        "The minimiser gave up where the gradient is not small: no step that it could take leads "
        "on. Start elsewhere, or look for a parameter that the data do not determine."
    )
    no_root = (
        "No root of the mean orthogonal score was found. Where a standard deviation goes to zero "
        "on the way, the outcomes are those of a model in which it is zero or less: restrict it. "
        "Otherwise start elsewhere, or look for parameters that the data do not determine."
    )
    no_information = (
        "Not knowing the distribution leaves no information in some direction of the parameters, "
        "so that the root is no estimate. `cov` names the direction."
    )
