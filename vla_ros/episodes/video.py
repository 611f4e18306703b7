"""Frames to H.264 and back, with PyAV. One thread per video: on a robot the other cores have other work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from vla_ros.values import Image

if TYPE_CHECKING:
    from typing_extensions import Self

_BT601 = {"colorspace": 6, "color_primaries": 6, "color_trc": 6, "color_range": 1}
"""What the conversion of `av` does, written down in the file (ITU-T H.273; range 1 is 16 … 235)."""


SEEKABLE = {"preset": "superfast", "g": "2", "bf": "0", "tune": "zerolatency"}
"""Every second frame is a key frame: any is reached in two decodes. Of the presets this is the fastest
that keeps small cubes at half the size of `ultrafast`."""
LARGE = 320
"""Pixels across, from which on `ultrafast` is as good: with a sensor's noise at 640×480 it takes half the time for 8 % more bytes."""


def seekable(width: int) -> dict[str, str]:
    """Options of x264 for pictures of that width that are recorded while a robot runs, and read in any order."""
    return SEEKABLE | ({"preset": "ultrafast"} if width >= LARGE else {})


class Film:
    """A file with one video, written picture by picture; `form` is how the pictures come, as PyAV names it."""

    def __init__(self, container: Any, stream: Any, shape: tuple[int, ...], fps: int, form: str) -> None:
        """`shape` begins with (height, width)."""
        self._container, self._stream, self._form = container, stream, form
        stream.height, stream.width = shape[:2]
        stream.codec_context.thread_count = 1
        self._time_base = Fraction(1, fps)
        self._frames = 0
        self._closed = False

    def add(self, image: np.ndarray) -> None:
        """Append one picture (H, W, …)."""
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), self._form)
        frame.pts, frame.time_base = self._frames, self._time_base
        self._frames += 1
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what is still in the encoder and finish the file; once, also where that fails for want of room."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._frames:
                self._container.mux(self._stream.encode())
        finally:
            self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class VideoEncoder(Film):
    """Writes an mp4 frame by frame: (H, W, 3) each."""

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        fps: int,
        pix_fmt: str = "yuv444p",
        crf: int = 12,
        options: Mapping[str, str] | None = None,
        for_web: bool = False,
    ) -> None:
        """`shape` is (height, width, 3) of the frames; `crf` and `options` are those of x264; without options: `seekable`.

        `for_web`: its index stands in front, so that it can be played before all of it is there. That copies the whole file at the
        end, for which nobody waits between two episodes.
        """
        options = seekable(shape[1]) if options is None else options
        container = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"} if for_web else {})
        stream = container.add_stream("libx264", rate=fps, options={**options, "crf": str(crf)})
        stream.pix_fmt = pix_fmt
        for name, value in _BT601.items():
            setattr(stream.codec_context, name, value)
        super().__init__(container, stream, shape, fps, "rgb24")


def frames(path: Path, start: float = 0.0) -> Iterator[Image]:
    """The frames (H, W, 3) of a video from `start` s on, one after the other."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        half = 0.5 / float(stream.average_rate or 1)
        if start > 0:
            container.seek(int(start / stream.time_base), stream=stream)  # to the key frame before
        for frame in container.decode(stream):
            if (frame.time or 0.0) > start - half:
                yield frame.to_ndarray(format="rgb24")
