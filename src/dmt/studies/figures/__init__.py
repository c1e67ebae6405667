"""The paper's figures, made anew: each edits what it shows and reports the numbers that the paper leaves out."""

from dmt.studies.figures.colorization import Colorization
from dmt.studies.figures.figure import Figure
from dmt.studies.figures.lambdas import LambdaRows
from dmt.studies.figures.neighbours import NeighboursAlongThePath
from dmt.studies.figures.regularization import RegularizationColumns
from dmt.studies.figures.tour import Tour

__all__ = ["Colorization", "Figure", "LambdaRows", "NeighboursAlongThePath", "RegularizationColumns", "Tour"]
