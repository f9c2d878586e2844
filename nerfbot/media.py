"""Picture and film files: PNG and GIF by Pillow, MP4 (H.264) by imageio-ffmpeg, which load when first used.

Frames are uint8 (height, width, 3). A file appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import importlib
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfbot.errors import InvalidCommand, MissingDependency
from nerfbot.files import replacing

Picture = NDArray[np.uint8]

FILM_SUFFIXES = (".gif", ".mp4")

EXACT_COLOURS = 96
"""How many of its commonest colours a GIF shows exactly; its palette has 256."""

_PACKAGES = {"PIL": "pillow", "imageio_ffmpeg": "imageio-ffmpeg"}


def drawing_package(name: str) -> Any:
    """The optional module `name`; raises `MissingDependency`, one line, where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        missing = _PACKAGES.get(name.partition(".")[0], name)
        raise MissingDependency(
            f"drawing needs {missing}, which cannot be imported; install it with pip install 'nerfbot[sim]'"
        ) from None


def check_suffix(path: Path, known: Sequence[str], field: str = "out") -> None:
    """Raise `InvalidCommand` unless `path` ends in one of `known` and lies in a folder that exists."""
    if path.suffix.lower() not in known:
        raise InvalidCommand(f"{field}: must end in {' or '.join(known)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise InvalidCommand(f"{field}: there is no folder {str(path.parent)!r}")
    if path.is_dir():
        raise InvalidCommand(f"{field}: {str(path)!r} is a folder")


def save_png(picture: Picture, path: Path) -> None:
    """Write a picture to a PNG file. Raises `MissingDependency` without Pillow."""
    image = drawing_package("PIL.Image").fromarray(picture)
    with replacing(path) as part:
        image.save(part, format="PNG", optimize=True)


@contextlib.contextmanager
def open_film(path: Path, fps: float) -> Iterator[FilmWriter]:
    """A writer of frames, all of one size, to a GIF or an MP4 at `fps` frames a second.

    Raises `InvalidCommand` for another suffix or a film without frames, and `MissingDependency` without
    Pillow or imageio-ffmpeg. After an error no file is left, and an earlier one stays.
    """
    check_suffix(path, FILM_SUFFIXES)
    with replacing(path) as part:
        film: FilmWriter = _Gif(part, fps) if path.suffix.lower() == ".gif" else _Mp4(part, fps)
        with contextlib.closing(film):
            yield film
            if not film.frames:
                raise InvalidCommand(f"{path}: a film needs at least one frame")
            film.finish()


class FilmWriter:
    """Takes the frames of a film; `frames` counts them."""

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self.fps, self.frames = path, fps, 0

    def write(self, frame: Picture) -> None:
        """Add a frame."""
        raise NotImplementedError

    def finish(self) -> None:
        """Write what is left to write after the last frame."""

    def close(self) -> None:
        """Release what the film needed, also after an error."""


class _Mp4(FilmWriter):
    """Encodes frames as they come."""

    def __init__(self, path: Path, fps: float) -> None:
        super().__init__(path, fps)
        self._ffmpeg = drawing_package("imageio_ffmpeg")
        self._encoder: Any = None

    def write(self, frame: Picture) -> None:
        if self._encoder is None:
            size = frame.shape[1], frame.shape[0]
            # H.264 stores colours at half the resolution, so both sides must be even.
            self._encoder = self._ffmpeg.write_frames(
                str(self.path), size, fps=self.fps, quality=8, macro_block_size=2, pix_fmt_out="yuv420p"
            )
            self._encoder.send(None)
        self._encoder.send(np.ascontiguousarray(frame))
        self.frames += 1

    def close(self) -> None:
        if self._encoder is not None:
            self._encoder.close()


class _Gif(FilmWriter):
    """Waits for all frames, compressed, and gives them one palette, so that nothing flickers."""

    def __init__(self, path: Path, fps: float) -> None:
        super().__init__(path, fps)
        self._image = drawing_package("PIL.Image")
        self._compressed: list[bytes] = []
        self._shape: tuple[int, ...] = ()
        self._colours: Counter[int] = Counter()

    def write(self, frame: Picture) -> None:
        packed = frame.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        colours, counts = np.unique(packed, return_counts=True)
        self._colours.update(dict(zip(colours.tolist(), counts.tolist(), strict=True)))
        self._compressed.append(zlib.compress(packed.tobytes(), 1))
        self._shape = packed.shape
        self.frames += 1

    def finish(self) -> None:
        colours = np.array(sorted(self._colours), np.uint32)
        palette = self._palette(colours)
        differences = _unpacked(colours).astype(int)[:, None] - palette[None].astype(int)
        nearest = (differences**2).sum(axis=2).argmin(axis=1)
        first, *others = (self._indexed(data, colours, nearest, palette) for data in self._compressed)
        first.save(
            self.path,
            format="GIF",
            save_all=True,
            append_images=others,
            duration=max(20, round(100 / self.fps) * 10),  # a GIF counts in hundredths of a second
            loop=0,
        )

    def _palette(self, colours: NDArray[np.uint32]) -> Picture:
        """At most 256 colours, uint8 (number, 3): the commonest as they are, the others by median cut."""
        if len(colours) <= 256:
            return _unpacked(colours)
        common = [colour for colour, _ in self._colours.most_common(EXACT_COLOURS)]
        rest = sorted(set(colours.tolist()) - set(common))
        # Weights grow slowly with how often a colour occurs, so that a short-lived one still gets its place.
        weights = [self._colours[colour].bit_length() for colour in rest]
        line = np.repeat(np.array(rest, np.uint32), weights)[None]
        size = 256 - EXACT_COLOURS
        cut = self._image.fromarray(_unpacked(line)).quantize(size).getpalette()
        others = np.array(cut, np.uint8).reshape(-1, 3)[:size]
        return np.concatenate([_unpacked(np.array(common, np.uint32)), others])

    def _indexed(
        self, data: bytes, colours: NDArray[np.uint32], nearest: NDArray[np.intp], palette: Picture
    ) -> Any:
        packed = np.frombuffer(zlib.decompress(data), np.uint32).reshape(self._shape)
        picture = self._image.fromarray(nearest[np.searchsorted(colours, packed)].astype(np.uint8))
        picture.putpalette(palette.tobytes())
        return picture


def _unpacked(colours: NDArray[np.uint32]) -> Picture:
    """Red, green and blue of packed colours, uint8 (*shape, 3)."""
    return np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1).astype(np.uint8)
