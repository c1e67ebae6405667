"""Optimisers: problem, method and result are three things."""

from dmt.solvers.lbfgs import LBFGS, Diagonal, Objective, Progress, Solution
from dmt.solvers.minimise import minimise

__all__ = ["LBFGS", "Diagonal", "Objective", "Progress", "Solution", "minimise"]
