"""Albumentations' random erasing for images of any proportions; import it where it is used."""

from __future__ import annotations

from typing import Any

from cnnkit.data.albumentations_library import import_albumentations

_library = import_albumentations()


class Erasing(_library.Erasing):  # type: ignore[name-defined]  # imported by a function
    """Random erasing that leaves an image unchanged if no patch of the ratio fits into it.

    The library's own version then fails for lack of a seed, in about one case in five on an image
    ten times as wide as high.
    """

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the patch: ``holes``, int32 (0 or 1, 4), and the ``seed`` of its content."""
        return {"seed": 0} | super().get_params_dependent_on_data(params, data)

    @classmethod
    def get_class_fullname(cls) -> str:
        """Return the library's own name, as in the serialized form."""
        return "Erasing"
