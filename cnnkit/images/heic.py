"""Opens HEIC files, the photos of phones, with pi-heif, an optional dependency.

pi-heif contains libheif and libde265, which only decode. The container says how a photo is to be
turned and mirrored, and libheif does so; the EXIF orientation beside it says the same once more,
and counts for nothing (ISO/IEC 23008-12, annex A): pi-heif sets it to upright.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

from PIL import ImageFile

from cnnkit.errors import ImageError


def open_heic(source: bytes) -> ImageFile.ImageFile:
    """Return Pillow's image of a HEIC file with only its headers read.

    Raises:
        ImageError: pi-heif is not installed.
        SyntaxError: The headers are broken.
    """
    return _decoder()(BytesIO(source))


@lru_cache(maxsize=1)
def _decoder() -> type[ImageFile.ImageFile]:
    try:
        from pi_heif import options
        from pi_heif.as_plugin import HeifImageFile
    except ImportError as error:
        fix = "install it with: pip install 'cnnkit[heic]', or convert it to JPEG or PNG"
        raise ImageError("unsupported", f"HEIC images need pi-heif: {fix}") from error
    # Files are decoded side by side already.
    options.DECODE_THREADS = 1
    # Nothing but the image itself is read.
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False

    class HeicImageFile(HeifImageFile):
        """One whose size is what its header says."""

        def load(self) -> object:
            """Decode it.

            Raises:
                ValueError: It decodes to another size, which nobody has checked.
            """
            said = self.size
            if self._heif_file is not None:
                # It raises for broken data, which pi-heif takes for a black image where a program
                # lets Pillow load truncated ones.
                _ = self._heif_file[self.tell()].data
            loaded = super().load()
            if self.size != said:
                width, height = said
                raise ValueError(
                    f"it decodes to {self.size[0]} x {self.size[1]} pixels, but its "
                    f"header says {width} x {height}"
                )
            return loaded

    return HeicImageFile
