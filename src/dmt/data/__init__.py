"""Pictures, their labels, and the LightningDataModules that serve them."""

from dmt.data.alignment import Aligned, Alignment
from dmt.data.catalogs import LFW, Catalog, Digits, Folder
from dmt.data.class_catalogs import ClassFolders, TorchvisionClasses
from dmt.data.given import Given, PictureLike
from dmt.data.images import ImageError, read_image, to_pixels
from dmt.data.labelled import ClassificationTask, ClassTable, LabelledBatches, LabelledImages, read_labelled
from dmt.data.module import EditData, ImageBatch, LFWAttributeSplits, Serving
from dmt.data.selection import Confident, Matched, Nearest, Pool, Reserved, Selection, Sets, label_signs
from dmt.data.tasks import AttributeTask, ClassTask, ColorizeTask, PersonTask, PictureView, Task

__all__ = [
    "LFW",
    "Aligned",
    "Alignment",
    "AttributeTask",
    "Catalog",
    "ClassFolders",
    "ClassTable",
    "ClassTask",
    "ClassificationTask",
    "ColorizeTask",
    "Confident",
    "Digits",
    "EditData",
    "Folder",
    "Given",
    "ImageBatch",
    "ImageError",
    "LFWAttributeSplits",
    "LabelledBatches",
    "LabelledImages",
    "Matched",
    "Nearest",
    "PersonTask",
    "PictureLike",
    "PictureView",
    "Pool",
    "Reserved",
    "Selection",
    "Serving",
    "Sets",
    "Task",
    "TorchvisionClasses",
    "label_signs",
    "read_image",
    "read_labelled",
    "to_pixels",
]
