"""The operating system's count of a process's memory -> GB."""

import resource


def peak_gb(usage: resource.struct_rusage) -> float:
    """The most memory that a process held at once, in 10^9 bytes; Linux counts in KiB."""
    return usage.ru_maxrss * 1024 / 1e9
