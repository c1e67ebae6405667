"""From displaced activations back to pixels: the inverter, what it moves, and what holds it to the input."""

from dmt.inversion.constraints import Constraints
from dmt.inversion.inverter import Inversion, Inverter, Realise

__all__ = ["Constraints", "Inversion", "Inverter", "Realise"]
