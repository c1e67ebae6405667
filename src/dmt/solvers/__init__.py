"""Optimisers: problem, method and result are three things."""

from dmt.solvers.lbfgs import LBFGS, Objective, Progress, Solution

__all__ = ["LBFGS", "Objective", "Progress", "Solution"]
