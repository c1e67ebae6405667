"""Pictures, their labels, and the LightningDataModules that serve them."""

from dmt.data.catalogs import LFW, Catalog, Digits, Folder
from dmt.data.images import ImageError, read_image, to_pixels
from dmt.data.module import AttributeSplits, ImageBatch
from dmt.data.tasks import AttributeTask, ClassTask, Task

__all__ = [
    "LFW",
    "AttributeSplits",
    "AttributeTask",
    "Catalog",
    "ClassTask",
    "Digits",
    "Folder",
    "ImageBatch",
    "ImageError",
    "Task",
    "read_image",
    "to_pixels",
]
