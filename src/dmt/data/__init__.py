"""Pictures, their labels, and the LightningDataModules that serve them."""

from dmt.data.alignment import Aligned, Alignment
from dmt.data.catalogs import LFW, Catalog, Digits, Folder
from dmt.data.class_catalogs import ClassFolders, TorchvisionClasses
from dmt.data.images import ImageError, read_image, to_pixels
from dmt.data.labelled import ClassificationTask, ClassTable, LabelledBatches, LabelledImages, read_labelled
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
    "ClassFolders",
    "ClassTable",
    "ClassTask",
    "ClassificationTask",
    "ColorizeTask",
    "Confident",
    "Digits",
    "Folder",
    "ImageBatch",
    "ImageError",
    "LabelledBatches",
    "LabelledImages",
    "Matched",
    "Nearest",
    "PersonTask",
    "PictureView",
    "Pool",
    "Selection",
    "Sets",
    "Task",
    "TorchvisionClasses",
    "read_image",
    "read_labelled",
    "to_pixels",
]
