"""Disks that a drill can fill, and files that nobody can write for a while."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from edgemesh.errors import InputError


class SmallDisk:
    """A file system of its own, in memory, mounted on `folder` while the `with` lasts. InputError: we may not."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder, self._megabytes = folder, megabytes
        self._filler = folder / "filler"

    def __enter__(self) -> SmallDisk:
        self.folder.mkdir(parents=True, exist_ok=True)
        _call("mount", "-t", "tmpfs", "-o", f"size={self._megabytes}m", "edgemesh-drill", str(self.folder))
        return self

    def __exit__(self, *_: object) -> None:
        _call("umount", "-l", str(self.folder))

    def fill(self) -> None:
        """Leave no room for anybody."""
        with contextlib.suppress(OSError), self._filler.open("ab", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """What is free now."""
        return shutil.disk_usage(self.folder).free


class Immutable:
    """Files that can't be written while the `with` lasts, not even by who has them open. InputError: we may not."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._files = [str(file) for file in files if file.exists()]

    def __enter__(self) -> Immutable:
        _call("chattr", "+i", *self._files)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _call("chattr", "-i", *self._files)


def missing() -> str:
    """What these disks lack here, for people; empty: nothing."""
    if os.geteuid() != 0:
        return "needs root, to mount a small disk"
    lacks = [tool for tool in ("mount", "umount", "chattr") if shutil.which(tool) is None]
    return f"needs {', '.join(lacks)}" if lacks else ""


def _call(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        raise InputError(
            f"`{' '.join(command[:2])}` failed: {said.strip()}", wish="drills of the disk need root"
        ) from error
