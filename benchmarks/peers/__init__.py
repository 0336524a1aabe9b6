"""Solvers of others, and the workers that run each solver in a process of its own.

A worker is started by its path: it may run in an environment that has nothing of this repository.
"""
