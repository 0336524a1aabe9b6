# The directories of tests are packages from here down, so that a test module is called
# `tests.mixsqpx.test_x`. Without this file pytest would put tests/ itself on the path, where the
# directory tests/mixsqpx is found before the installed mixsqpx. It also lets both directories use
# the same file names, and lets a helper be imported as `from .r_cases import ...`.
