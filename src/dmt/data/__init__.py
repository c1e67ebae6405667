"""Pictures, their labels, and the LightningDataModules that serve them."""

from dmt.data.alignment import Aligned, Alignment
from dmt.data.catalogs import LFW, Catalog, Digits, Folder
from dmt.data.images import ImageError, read_image, to_pixels
from dmt.data.module import AttributeSplits, ImageBatch
from dmt.data.selection import Confident, Matched, Nearest, Pool, Selection, Sets
from dmt.data.tasks import AttributeTask, ClassTask, ColorizeTask, PersonTask, PictureView, Task

__all__ = [
    "LFW",
    "Aligned",
    "Alignment",
    "AttributeSplits",
    "AttributeTask",
    "Catalog",
    "ClassTask",
    "ColorizeTask",
    "Confident",
    "Digits",
    "Folder",
    "ImageBatch",
    "ImageError",
    "Matched",
    "Nearest",
    "PersonTask",
    "PictureView",
    "Pool",
    "Selection",
    "Sets",
    "Task",
    "read_image",
    "to_pixels",
]
