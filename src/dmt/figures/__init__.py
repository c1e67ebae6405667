"""The paper's figures, made anew: each edits what it shows and reports the numbers that the paper leaves out."""

from dmt.figures.colorization import Colorization
from dmt.figures.figure import Figure
from dmt.figures.lambdas import LambdaRows
from dmt.figures.neighbours import NeighboursAlongThePath
from dmt.figures.regularization import RegularizationColumns
from dmt.figures.tour import Tour

__all__ = ["Colorization", "Figure", "LambdaRows", "NeighboursAlongThePath", "RegularizationColumns", "Tour"]
