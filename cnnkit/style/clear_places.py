"""Leaves out what is transparent of a style image: it is no paint."""

from __future__ import annotations

import numpy as np

from cnnkit.errors import ImageError

# Less than half solid counts as clear.
SOLID = 128


def without_clear(pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """Return a style without its transparent places, uint8 (height, width, 3).

    It is cut to what is solid. Clear places that are left inside get what lies mirrored at the
    nearest edge of the solid part, so that strokes and colors go on there and no edge of white
    is taken for a stroke.

    Args:
        pixels: uint8 (height, width, 3), the colors of clear places of no matter.
        alpha: uint8 (height, width, 1), or None if it is solid.

    Raises:
        ImageError: All of it is transparent.
    """
    if alpha is None:
        return pixels
    solid = alpha[..., 0] >= SOLID
    if not solid.any():
        raise ImageError("failed", "the whole image is transparent, so it has no style")
    rows, columns = (np.flatnonzero(solid.any(axis=axis)) for axis in (1, 0))
    cut = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    pixels, solid = pixels[cut], solid[cut]
    if solid.all():
        return np.ascontiguousarray(pixels)
    return _filled(pixels, solid)


def _filled(pixels: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Return an image whose clear places show the solid part mirrored at its edge."""
    from scipy.ndimage import distance_transform_edt

    nearest = distance_transform_edt(~solid, return_distances=False, return_indices=True)
    clear = np.stack(np.nonzero(~solid))  # (2, places)
    edge = nearest[:, clear[0], clear[1]]
    beyond = 2 * edge - clear
    limits = np.array(solid.shape)[:, None]
    fits = ((beyond >= 0) & (beyond < limits)).all(axis=0)
    fits[fits] = solid[beyond[0, fits], beyond[1, fits]]
    taken = np.where(fits, beyond, edge)
    filled = pixels.copy()
    filled[clear[0], clear[1]] = pixels[taken[0], taken[1]]
    return filled
