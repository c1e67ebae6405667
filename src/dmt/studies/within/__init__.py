"""The paper's last thought, tried: pictures made by walking within a class, as further pictures to learn from."""

from dmt.studies.within.learning import Mixup, Moved, Recipe
from dmt.studies.within.study import Sampling, WithinClassStudy

__all__ = ["Mixup", "Moved", "Recipe", "Sampling", "WithinClassStudy"]
