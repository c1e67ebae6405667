"""Trained networks -> the figures and tables of the transfer study."""

from dmt.transfer_report.report import OriginalReport, TransferReport

__all__ = ["OriginalReport", "TransferReport"]
