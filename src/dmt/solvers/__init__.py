"""Optimisers: problem, method and result are three things."""

from dmt.solvers.lbfgs import LBFGS, Diagonal, Objective, Progress, Solution

__all__ = ["LBFGS", "Diagonal", "Objective", "Progress", "Solution"]
