"""How long `spmlex.fit` takes, and how often it succeeds."""
