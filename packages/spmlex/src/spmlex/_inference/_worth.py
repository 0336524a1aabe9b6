"""What standard errors of the profile likelihood are worth."""

from .._fields import Fit


def worth_note(result: Fit) -> str:
    """What they are worth, and what to do."""
    model = result.model
    note = (
        "These standard errors are too small where the distribution is continuous or regressors do "
        "not vary within units."
    )
    if not getattr(model, "can_draw", True):
        return note
    drawn = any(callable(getattr(model, name, None)) for name in ("sample", "all_outcomes"))
    way = "take" if drawn else "add `sample(key, data, latent)` to the model and take"
    return f"{note} For intervals that hold, {way} `result.orthogonal(key)`."
