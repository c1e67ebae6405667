"""An honest benchmark: edits by every method -> what each keeps at an equal flip rate, and how sure that is."""

from dmt.studies.benchmark.run import BenchmarkRun, Case

__all__ = ["BenchmarkRun", "Case"]
