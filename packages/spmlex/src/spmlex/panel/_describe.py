"""What tables say of a panel."""

import dataclasses

from .._table import Table
from ._design import Design
from ._regressors import regressor_notes


def describe_panel(
    table: Table, panel: Design, header: list[tuple[str, str]], notes: list[str]
) -> Table:
    """A table of estimates, with what was read above and below it."""
    read = [("Family", panel.model.family.name), ("Rows", f"{panel.num_rows}")]
    spec = panel.spec
    arguments = {
        "Unit": spec.unit,
        "Time": spec.time,
        "Offset": spec.offset,
        "Exposure": spec.exposure,
        "Trials": spec.trials,
        "Event": spec.event,
        "Weights": spec.weights,
        "Groups by": spec.groups,
        "Clusters": spec.clusters,
    }
    read += [(label, column) for label, column in arguments.items() if column is not None]
    said = [
        f"Heterogeneous: {', '.join(panel.model.effects)}, on {panel.describe_grid()}.",
        *regressor_notes(panel),
        *([panel.describe_dropped()] if panel.dropped else []),
    ]
    return dataclasses.replace(
        table,
        title=f"Panel: {panel.formula}",
        header=(*read, *header, *table.header),
        notes=(*said, *notes, *table.notes),
    )
