"""Picture files: PNG with nothing but NumPy, GIF and MP4 with Pillow and imageio-ffmpeg.

A file appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import struct
import zlib
from collections import Counter
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

COMMON = 96
"""Colours of a GIF that are kept exactly, the commonest; a palette has 256."""

_PACKAGES = {"PIL": "pillow", "imageio_ffmpeg": "imageio-ffmpeg"}


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


def package(name: str) -> Any:
    """An optional package for films; raises `MissingDependency`, one line, where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing = _PACKAGES.get(name.partition(".")[0], name)
        raise MissingDependency(
            f"a film needs {missing}, which cannot be imported; install it with pip install 'nerfbot[sim]'"
        ) from None


class FilmWriter:
    """Writes frames, uint8 (height, width, 3), all of one size, to a GIF or an MP4; a context manager.

    Args:
        path: of the file, ending in .gif or .mp4.
        fps: frames a second; a GIF counts in hundredths of a second.

    Raises `InvalidCommand` for another suffix, and `MissingDependency` without Pillow or imageio-ffmpeg.

    """

    def __init__(self, path: Path, fps: float) -> None:
        check_suffix(path, FILMS)
        self.path, self._stack = path, contextlib.ExitStack()
        self._film: _Gif | _Mp4 = _Gif(fps) if path.suffix.lower() == ".gif" else _Mp4(fps)

    def __enter__(self) -> FilmWriter:
        self._film.part = self._stack.enter_context(whole_file(self.path))
        return self

    def write(self, frame: Picture) -> None:
        """Add a frame."""
        self._film.write(frame)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._film.close(kept=kind is None)
            if kind is None and not self._film.frames:
                raise InvalidCommand(f"{self.path}: a film needs at least one frame")
        except BaseException as problem:
            if not self._stack.__exit__(type(problem), problem, problem.__traceback__):
                raise
        else:
            self._stack.__exit__(kind, error, trace)


class _Mp4:
    """H.264, encoded as frames come."""

    def __init__(self, fps: float) -> None:
        self.fps, self.frames, self.part = fps, 0, Path()
        self._package = package("imageio_ffmpeg")
        self._writer: Any = None

    def write(self, frame: Picture) -> None:
        if self._writer is None:
            size = frame.shape[1], frame.shape[0]
            self._writer = self._package.write_frames(
                str(self.part), size, fps=self.fps, quality=8, macro_block_size=1, pix_fmt_out="yuv420p"
            )
            self._writer.send(None)
        self._writer.send(np.ascontiguousarray(frame))
        self.frames += 1

    def close(self, kept: bool) -> None:
        if self._writer is not None:
            self._writer.close()


class _Gif:
    """One palette for all frames, so that nothing flickers: they wait, compressed, until it is known."""

    def __init__(self, fps: float) -> None:
        self.fps, self.frames, self.part = fps, 0, Path()
        self._image = package("PIL.Image")
        self._waiting: list[bytes] = []
        self._shape: tuple[int, ...] = ()
        self._colours: Counter[int] = Counter()

    def write(self, frame: Picture) -> None:
        packed = frame.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        found, counts = np.unique(packed, return_counts=True)
        self._colours.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        self._waiting.append(zlib.compress(packed.tobytes(), 1))
        self._shape = packed.shape
        self.frames += 1

    def close(self, kept: bool) -> None:
        if not (kept and self.frames):
            return
        colours = np.array(sorted(self._colours), np.uint32)
        palette = self._palette(colours)
        parts = _parts(colours).astype(int)
        nearest = ((parts[:, None] - palette[None].astype(int)) ** 2).sum(axis=2).argmin(axis=1)
        first, *others = (self._indexed(data, colours, nearest, palette) for data in self._waiting)
        first.save(
            self.part,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=max(20, round(100 / self.fps) * 10),
            loop=0,
        )

    def _palette(self, colours: NDArray[np.uint32]) -> Picture:
        """At most 256 colours, uint8 (number, 3): the commonest as they are, the others by median cut."""
        if len(colours) <= 256:
            return _parts(colours)
        common = [colour for colour, _ in self._colours.most_common(COMMON)]
        rest = [colour for colour in colours.tolist() if colour not in set(common)]
        # How often a colour occurs counts little, so that a short-lived one still gets its place.
        weights = [self._colours[colour].bit_length() for colour in rest]
        line = np.repeat(np.array(rest, np.uint32), weights)[None]
        cut = self._image.fromarray(_parts(line)).quantize(256 - COMMON)
        chosen = np.array(cut.getpalette(), np.uint8).reshape(-1, 3)[: 256 - COMMON]
        return np.concatenate([_parts(np.array(common, np.uint32)), chosen])

    def _indexed(
        self, data: bytes, colours: NDArray[np.uint32], nearest: NDArray[np.intp], palette: Picture
    ) -> Any:
        packed = np.frombuffer(zlib.decompress(data), np.uint32).reshape(self._shape)
        picture = self._image.fromarray(nearest[np.searchsorted(colours, packed)].astype(np.uint8))
        picture.putpalette(palette.tobytes())
        return picture


def _parts(colours: NDArray[np.uint32]) -> Picture:
    """Red, green and blue of packed colours, uint8 (*shape, 3)."""
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1).astype(np.uint8)
