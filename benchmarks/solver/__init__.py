"""How long `mixsolve` takes, and how near the optimum it ends, beside its peers."""
