"""The second study: how general is each layer of a network, by what it costs to train on top of another's layers."""

from dmt.studies.transfer.classifier import Schedule
from dmt.studies.transfer.networks import WeightLayers, caffenet, narrow_network, torchvision_network
from dmt.studies.transfer.report import OriginalReport, TransferReport
from dmt.studies.transfer.setting import Setting, Tasks
from dmt.studies.transfer.splits import Halves, HalvesByKind, ListedHalves, RandomHalves, Split
from dmt.studies.transfer.transfer_study import TransferStudy

__all__ = [
    "Halves",
    "HalvesByKind",
    "ListedHalves",
    "OriginalReport",
    "RandomHalves",
    "Schedule",
    "Setting",
    "Split",
    "Tasks",
    "TransferReport",
    "TransferStudy",
    "WeightLayers",
    "caffenet",
    "narrow_network",
    "torchvision_network",
]
