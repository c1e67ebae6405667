"""How much of a task's class each layer of a network carries, and which layers an edit should therefore read."""

from dmt.studies.layers.measures import alignment, centred_gram, log_evidence, neighbour_accuracies, probe_aucs
from dmt.studies.layers.scores import LayerScore, LayerScores, choose_layers
from dmt.studies.layers.study import LayerStudy, score_table

__all__ = [
    "LayerScore",
    "LayerScores",
    "LayerStudy",
    "alignment",
    "centred_gram",
    "choose_layers",
    "log_evidence",
    "neighbour_accuracies",
    "probe_aucs",
    "score_table",
]
