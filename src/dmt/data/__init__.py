"""Pictures, their labels, and the LightningDataModules that serve them."""

from dmt.data.catalogs import LFW, Catalog, Digits, Folder, Unlabelled
from dmt.data.class_catalogs import ClassFolders, TorchvisionClasses
from dmt.data.faces import Face, FaceDetector
from dmt.data.folders import pictures_below
from dmt.data.framed import Framed, Patch, finished
from dmt.data.framing import CentreFraming, FaceFraming, Frame, Framing
from dmt.data.given import Given, PictureLike
from dmt.data.images import ImageError, read_image, to_pixels
from dmt.data.labelled import ClassificationTask, ClassTable, LabelledBatches, LabelledImages, read_labelled
from dmt.data.module import EditData, ImageBatch, LFWAttributeSplits, Serving
from dmt.data.photographs import Photograph
from dmt.data.selection import Confident, Matched, Nearest, Pool, Reserved, Selection, Sets, label_signs
from dmt.data.tables import Table, TableTask
from dmt.data.tasks import (
    AttributeTask,
    ClassTask,
    ColorizeTask,
    JointTask,
    PersonTask,
    PictureView,
    ScoredTask,
    Task,
)

__all__ = [
    "LFW",
    "AttributeTask",
    "Catalog",
    "CentreFraming",
    "ClassFolders",
    "ClassTable",
    "ClassTask",
    "ClassificationTask",
    "ColorizeTask",
    "Confident",
    "Digits",
    "EditData",
    "Face",
    "FaceDetector",
    "FaceFraming",
    "Folder",
    "Frame",
    "Framed",
    "Framing",
    "Given",
    "ImageBatch",
    "ImageError",
    "JointTask",
    "LFWAttributeSplits",
    "LabelledBatches",
    "LabelledImages",
    "Matched",
    "Nearest",
    "Patch",
    "PersonTask",
    "Photograph",
    "PictureLike",
    "PictureView",
    "Pool",
    "Reserved",
    "ScoredTask",
    "Selection",
    "Serving",
    "Sets",
    "Table",
    "TableTask",
    "Task",
    "TorchvisionClasses",
    "Unlabelled",
    "finished",
    "label_signs",
    "pictures_below",
    "read_image",
    "read_labelled",
    "to_pixels",
]
