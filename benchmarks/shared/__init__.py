"""What several benchmarks need. Nothing here imports JAX."""
