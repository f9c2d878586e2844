"""Picture files: PNG with nothing but NumPy, GIF and MP4 with Pillow and imageio-ffmpeg.

A file appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand, MissingDependency

Picture = NDArray[np.uint8]

FILMS = (".gif", ".mp4")
"""Suffixes that a film may have."""

_PACKAGES = {"PIL": "pillow", "imageio_ffmpeg": "imageio-ffmpeg", "warp": "warp-lang"}


def check_suffix(path: Path, known: Sequence[str], field: str = "out") -> None:
    """Raise `InvalidCommand` where a path has none of the suffixes `known`, or its folder is not there."""
    if path.suffix.lower() not in known:
        raise InvalidCommand(f"{field}: must end in {' or '.join(known)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise InvalidCommand(f"{field}: there is no folder {str(path.parent)!r}")
    if path.is_dir():
        raise InvalidCommand(f"{field}: {str(path)!r} is a folder")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` when all went well and is gone when not.

    Raises `InvalidCommand` where the system does not let it be written.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise InvalidCommand(f"{path}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)


def save_png(picture: Picture, path: Path) -> None:
    """Write a picture, uint8 (height, width, 3), to a PNG file."""
    height, width = picture.shape[:2]
    # Filter type 2 (up) before every row but the first: tiles repeat from row to row and shrink to little.
    rows = picture.reshape(height, width * 3)
    filtered = np.full((height, 1 + width * 3), 2, np.uint8)
    filtered[0, 0], filtered[0, 1:], filtered[1:, 1:] = 0, rows[0], rows[1:] - rows[:-1]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(filtered.tobytes(), 9)), (b"IEND", b""))
    with whole_file(path) as part:
        part.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def package(name: str, extra: str = "sim", what: str = "a film") -> Any:
    """An optional package; raises `MissingDependency`, one line that names the extra, where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing = _PACKAGES.get(name.partition(".")[0], name)
        remedy = f"install it with pip install 'nerfbot[{extra}]'"
        raise MissingDependency(f"{what} needs {missing}, which cannot be imported; {remedy}") from None


class FilmWriter:
    """Writes frames, uint8 (height, width, 3), all of one size, to a GIF or an MP4; a context manager.

    Args:
        path: of the file, ending in .gif or .mp4.
        fps: frames a second; a GIF counts in hundredths of a second.

    Raises `InvalidCommand` for another suffix, and `MissingDependency` without Pillow or imageio-ffmpeg.

    """

    def __init__(self, path: Path, fps: float) -> None:
        check_suffix(path, FILMS)
        self.path, self.fps = path, fps
        self._stack = contextlib.ExitStack()
        self._gif: list[Any] = []
        self._mp4: Any = None
        self._package = package("PIL.Image" if path.suffix.lower() == ".gif" else "imageio_ffmpeg")

    def __enter__(self) -> FilmWriter:
        self._part = self._stack.enter_context(whole_file(self.path))
        return self

    def write(self, frame: Picture) -> None:
        """Add a frame."""
        if self.path.suffix.lower() == ".gif":
            self._gif.append(self._indexed(frame))
            return
        if self._mp4 is None:
            size = frame.shape[1], frame.shape[0]
            self._mp4 = self._package.write_frames(
                str(self._part), size, fps=self.fps, quality=8, macro_block_size=1, pix_fmt_out="yuv420p"
            )
            self._mp4.send(None)
        self._mp4.send(np.ascontiguousarray(frame))

    def _indexed(self, frame: Picture) -> Any:
        """A frame with a palette: its very colours where they are few enough, as they are on flat tiles."""
        image = self._package
        packed = frame.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        colours, index = np.unique(packed, return_inverse=True)
        if len(colours) > 256:
            return image.fromarray(frame).quantize(256, dither=image.Dither.NONE)
        picture = image.fromarray(index.reshape(packed.shape).astype(np.uint8))
        parts = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1)
        picture.putpalette(parts.astype(np.uint8).tobytes())
        return picture

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._mp4 is not None:
                self._mp4.close()
            if kind is None and self._gif:
                first, *others = self._gif
                first.save(
                    self._part,
                    format="GIF",
                    save_all=True,
                    append_images=others,
                    duration=max(20, round(100 / self.fps) * 10),
                    loop=0,
                )
            elif kind is None and self._mp4 is None:
                raise InvalidCommand(f"{self.path}: a film needs at least one frame")
        except BaseException as problem:
            if not self._stack.__exit__(type(problem), problem, problem.__traceback__):
                raise
        else:
            self._stack.__exit__(kind, error, trace)
