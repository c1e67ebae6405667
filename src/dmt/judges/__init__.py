"""Independent networks that say what a picture shows; they judge results and are never a loss."""

from dmt.judges.classes import ClassesJudge, LearnsFromData
from dmt.judges.classifier import Classifier, ModuleClassifier, OnnxClassifier, classifier_of
from dmt.judges.cout import CoutJudge
from dmt.judges.geometry import GeometryJudge
from dmt.judges.judge import Judge, LikenessJudge, Network, OutputJudge, require_fit
from dmt.judges.onnx import OnnxJudge
from dmt.judges.perceptual import PerceptualDistance
from dmt.judges.probe import AttributesJudge, ProbeJudge
from dmt.judges.realism import Realism, RealismJudge, realism, realism_scores
from dmt.judges.reserved import PooledFeatures, ReservedPictures

__all__ = [
    "AttributesJudge",
    "ClassesJudge",
    "Classifier",
    "CoutJudge",
    "GeometryJudge",
    "Judge",
    "LearnsFromData",
    "LikenessJudge",
    "ModuleClassifier",
    "Network",
    "OnnxClassifier",
    "OnnxJudge",
    "OutputJudge",
    "PerceptualDistance",
    "PooledFeatures",
    "ProbeJudge",
    "Realism",
    "RealismJudge",
    "ReservedPictures",
    "classifier_of",
    "realism",
    "realism_scores",
    "require_fit",
]
