"""Photographs of any format, read and written with all that is in their files."""

from dmt.data.photographs.photograph import EXTENSIONS, Photograph
from dmt.data.photographs.record import Record

__all__ = ["EXTENSIONS", "Photograph", "Record"]
