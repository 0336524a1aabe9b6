"""Benchmarks: `python -m benchmarks` lists them, `benchmarks/README.md` says what each answers."""
