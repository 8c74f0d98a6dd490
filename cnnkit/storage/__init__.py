"""Where images lie besides files and folders: object stores, tar files, Parquet files.

Paths from lists are untrusted. Only the schemes of `cnnkit.storage.remote.SCHEMES` are ever
opened, archives are never extracted, and sizes are bounded before anything is read.
"""

from __future__ import annotations

from cnnkit.storage.places import Member, is_elsewhere, is_url, place_key

__all__ = ["Member", "is_elsewhere", "is_url", "place_key"]
