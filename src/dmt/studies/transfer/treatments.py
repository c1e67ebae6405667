"""Trained base networks -> a network to train: its first layers copied or untrained, frozen or not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from dmt.errors import UserError, nearest_name
from dmt.studies.transfer.networks import WeightLayers


@dataclass(frozen=True)
class Treatment:
    """What is done to the first n layers before a network is trained on its target.

    Args:
        symbol: the paper's, section 3.
        source: whose layers are copied: of the base of the same half, of the other half, or of none.
        frozen: whether they stay as they are while the rest learns.
        schedules: how many times as long as the base it is trained.
        has_layers: whether it has a number of layers at all, from 1 to one less than the network's.
    """

    symbol: str
    source: Literal["same", "other"] | None = None
    frozen: bool = False
    schedules: int = 1
    has_layers: bool = True


TREATMENTS: Mapping[str, Treatment] = {
    "base": Treatment("base", has_layers=False),
    # ours: is what fine-tuning gains more than time?
    "base_long": Treatment("base, twice as long", has_layers=False, schedules=2),
    "selffer": Treatment("BnB", "same", frozen=True),
    "transfer": Treatment("AnB", "other", frozen=True),
    "selffer_finetuned": Treatment("BnB+", "same"),
    "transfer_finetuned": Treatment("AnB+", "other"),
    "random": Treatment("random, frozen", frozen=True),
}
OTHER = {"A": "B", "B": "A"}


def treatment_named(name: str) -> Treatment:
    """The treatment; raises a ``UserError`` that names the nearest if there is none."""
    if name not in TREATMENTS:
        known = ", ".join(TREATMENTS)
        raise UserError(f"there is no treatment {name!r}{nearest_name(name, TREATMENTS)} (there are {known})")
    return TREATMENTS[name]


def source_of(treatment: str, target: str) -> str | None:
    """Whose base gives the layers, ``A`` or ``B``; ``None`` if nobody's."""
    source = treatment_named(treatment).source
    return None if source is None else target if source == "same" else OTHER[target]


def treated(fresh: WeightLayers, treatment: str, n: int, base: Mapping[str, Tensor] | None) -> WeightLayers:
    """The network to train.

    Args:
        fresh: the target's network with initial weights; its layers are used.
        treatment: a name of ``TREATMENTS``.
        n: how many layers are treated.
        base: weights and buffers of the trained network that layers are copied from; ``None`` if none are.
    """
    layers = dict(fresh.named_children())
    if base is not None:
        for name in fresh.names[:n]:
            prefix = f"{name}."
            own = {key.removeprefix(prefix): value for key, value in base.items() if key.startswith(prefix)}
            layers[name].load_state_dict(own)
    return WeightLayers(layers, n if treatment_named(treatment).frozen else 0)
