"""Images with boxes, read and written: COCO's JSON, Pascal VOC's XML, YOLO's text files.

found = read_boxes("voc:raccoon/annotations")          # a BoxSet, nothing dropped
sound, problems = mend(found.images[0], found.classes)
write_boxes("coco:raccoon.json", found.images, found.classes)
write_boxes("yolo:labels", map(image_of_row, rows), labels)   # rows of cnnkit detect
"""

from cnnkit.formats.annotations import (
    AnnotatedImage,
    BoxAnnotation,
    BoxProblem,
    BoxSet,
    corners_of,
    image_of_row,
)
from cnnkit.formats.opening import FORMS, check_target, read_boxes, with_form, write_boxes
from cnnkit.formats.problems import PROBLEMS, mend

__all__ = [
    "FORMS",
    "PROBLEMS",
    "AnnotatedImage",
    "BoxAnnotation",
    "BoxProblem",
    "BoxSet",
    "check_target",
    "corners_of",
    "image_of_row",
    "mend",
    "read_boxes",
    "with_form",
    "write_boxes",
]
