"""Whether the answers are right, and whether the tests would notice if they were not."""
