"""The walk: kernels, the witness between two sides, and the displacement that minimises it under a budget."""
