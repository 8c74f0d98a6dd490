"""Where the links of a tar file lead, by their texts alone: also through folders that are links.

Nothing is looked up on the disk, and nothing leads out of the file. Without such folders a name is
enough, and `cnnkit.storage.tar_files` follows links by hashes of names.
"""

from __future__ import annotations

import posixpath
from collections import deque
from collections.abc import Iterator
from itertools import pairwise

# Links that lead to links, as Linux follows them.
MOST_LINKS = 40
# Of a name, and of the parts that one link leads over; Linux takes no longer path.
LONGEST = 4096
# Bytes of all links that are kept, about, and parts that all of them lead over: of an archive that
# has more, none leads through folders that are links.
MOST_KEPT = 1 << 26
BYTES_EACH = 200
MOST_STEPS = 1 << 21


def climbs(target: str) -> bool:
    """Return whether a link leads up again from a folder, which may be a link to another one."""
    parts = [part for part in target.split("/") if part not in ("", ".")]
    return any(one != ".." and following == ".." for one, following in pairwise(parts))


class LinkTexts:
    """The symbolic links of an archive, as far as they are to be kept in memory."""

    def __init__(self) -> None:
        """Begin without any."""
        self._by_place: dict[str, tuple[str, str]] = {}
        self._room, self._steps = MOST_KEPT, MOST_STEPS

    def add(self, name: str, target: str) -> None:
        """Take in a link; of several with one name the first one counts."""
        self._room -= len(name) + len(target) + BYTES_EACH
        if self._room < 0:
            self._by_place.clear()
        else:
            self._by_place.setdefault(posixpath.normpath(name), (name, target))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the target of each."""
        yield from self._by_place.values()

    def end_of(self, name: str, target: str) -> str | None:
        """Return the name of what a link leads to, which may be missing.

        Args:
            name: Of the link.
            target: Its text.

        Returns:
            A name without ``.``, ``..``, and folders that are links; None for a link that leads out
            of the archive, in a circle, or too far.
        """
        passed: list[str] = []
        parts = deque(f"{posixpath.dirname(name)}/{target}".split("/"))
        followed, length = 0, 0
        if target.startswith("/") or len(parts) > LONGEST:
            return None
        for _ in range(LONGEST):
            if not parts:
                return "/".join(passed)
            part = parts.popleft()
            if part == "..":
                if not passed:
                    return None
                length -= len(passed.pop()) + 1
            elif part not in ("", "."):
                passed.append(part)
                length += len(part) + 1
                self._steps -= 1
                if length > LONGEST or self._steps < 0:
                    return None
                _, further = self._by_place.get("/".join(passed), ("", None))
                if further is not None:
                    followed += 1
                    if followed > MOST_LINKS or further.startswith("/") or len(further) > LONGEST:
                        return None
                    length -= len(passed.pop()) + 1
                    parts.extendleft(reversed(further.split("/")))
        return None
