"""Faults that are made on purpose: what a run does that is killed, or finds damaged files, or is not alone."""
