"""Representation, walk, strength and inverter put together: a task and pictures -> edited pictures."""
