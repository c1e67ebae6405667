"""Independent networks that say what a picture shows; they judge results and are never a loss."""

from dmt.judges.judge import Judge, LikenessJudge, Network, OutputJudge
from dmt.judges.onnx import OnnxJudge

__all__ = ["Judge", "LikenessJudge", "Network", "OnnxJudge", "OutputJudge"]
