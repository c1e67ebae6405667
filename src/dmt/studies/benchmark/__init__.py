"""An honest benchmark: edits by every method -> what each keeps at an equal flip rate, and how sure that is."""

from dmt.studies.benchmark.cases import Case, Contender, Decision
from dmt.studies.benchmark.study import BenchmarkStudy

__all__ = ["BenchmarkStudy", "Case", "Contender", "Decision"]
