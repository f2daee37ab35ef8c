"""Versions: the models that an asset had before the present one, kept so that one can go back."""

from __future__ import annotations

from collections.abc import Mapping

MOST_FORMER = 3


class Versions:
    """The last few files of former models by their version; saved as parts `former/VERSION`."""

    def __init__(self) -> None:
        self.files: dict[int, bytes] = {}
        self._dirty: set[int] = set()

    def keep(self, version: int, content: bytes) -> None:
        """It is the newest of them now; the oldest goes when there are too many."""
        self.files.pop(version, None)
        self.files[version] = content
        self._dirty.add(version)
        while len(self.files) > MOST_FORMER:
            oldest = next(iter(self.files))
            del self.files[oldest]
            self._dirty.add(oldest)

    def forget(self, version: int) -> None:
        """It is no former one any more."""
        if self.files.pop(version, None) is not None:
            self._dirty.add(version)

    def save_anew(self) -> None:
        """Have `parts` give all of them again."""
        self._dirty.update(self.files)

    def parts(self) -> dict[str, bytes | None]:
        """The parts that changed since the last call; None: gone."""
        parts = {f"former/{version}": self.files.get(version) for version in self._dirty}
        self._dirty.clear()
        return parts

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Go on from what was saved."""
        names = sorted((int(name[7:]), name) for name in parts if name.startswith("former/"))
        self.files = {version: parts[name] for version, name in names}
