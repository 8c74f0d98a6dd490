"""Finds, reads, decodes and prepares images."""

from cnnkit.images.arguments import ImageArgument, image_pixels, one_or_several, shown_name
from cnnkit.images.decode import DEFAULT_MAX_PIXELS, decode, size_and_orientation, upright_size
from cnnkit.images.files import read_bytes
from cnnkit.images.find import Finder, Found, Given, Inputs, find_images, read_list
from cnnkit.images.fine import decode_fine
from cnnkit.images.prepare import (
    InputSpec,
    Placement,
    Prepared,
    place,
    prepare,
    prepare_and_keep,
    prepare_placed,
    thumbnail,
)
from cnnkit.images.sniff import has_image_suffix, is_image_header
from cnnkit.images.translucency import decode_with_alpha, image_with_alpha

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "Finder",
    "Found",
    "Given",
    "ImageArgument",
    "InputSpec",
    "Inputs",
    "Placement",
    "Prepared",
    "decode",
    "decode_fine",
    "decode_with_alpha",
    "find_images",
    "has_image_suffix",
    "image_pixels",
    "image_with_alpha",
    "is_image_header",
    "one_or_several",
    "place",
    "prepare",
    "prepare_and_keep",
    "prepare_placed",
    "read_bytes",
    "read_list",
    "shown_name",
    "size_and_orientation",
    "thumbnail",
    "upright_size",
]
