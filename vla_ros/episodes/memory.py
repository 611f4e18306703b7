"""The last seconds, in case they turn out to be worth keeping: samples with JPEG pictures, bounded in time and in bytes.

Depth is packed without loss.
"""

from __future__ import annotations

import io
from collections import deque

import numpy as np
from PIL import Image as Picture

from vla_ros.episodes.depth import Depth
from vla_ros.episodes.ffv1 import Packer
from vla_ros.episodes.rows import Sample, packed
from vla_ros.values import Image

QUALITY = 95
"""Of JPEG, without subsampling of colours: 40 kB for a picture of 640×480."""


class Memory:
    """Samples of the last `span` ns, the oldest forgotten first, and never more than `size` bytes of pictures."""

    def __init__(self, span: int, size: int) -> None:
        self._span, self._size = span, size
        self._samples: deque[tuple[int, Sample]] = deque()
        self._packers: dict[str, Packer] = {}
        self.bytes = 0

    def put(self, sample: Sample) -> None:
        """Remember a sample; its moments must not go back."""
        if self._span <= 0:
            return
        pictures = {name: pack(image) for name, image in sample.images.items()}
        depths = {name: self._packer(name, depth).pack(depth) for name, depth in sample.depths.items()}
        weight = sum(len(picture) for picture in (*pictures.values(), *depths.values()))
        self._samples.append((weight, packed(sample, pictures, depths)))
        self.bytes += weight
        while self._samples and (self.bytes > self._size or self._oldest < sample.moment - self._span):
            self.bytes -= self._samples.popleft()[0]

    def since(self, moment: int) -> list[Sample]:
        """The samples from a moment (ns, monotonic) on, with their pictures packed: `whole` unpacks one."""
        return [sample for _, sample in self._samples if sample.moment >= moment]

    def whole(self, sample: Sample) -> Sample:
        """A sample of `since` with its pictures."""
        pictures = {name: unpack(data) for name, data in sample.images.items()}
        return packed(
            sample, pictures, {name: self._packers[name].unpack(bytes(d)) for name, d in sample.depths.items()}
        )

    def _packer(self, name: str, depth: Depth) -> Packer:
        if name not in self._packers:
            self._packers[name] = Packer(depth.shape)
        return self._packers[name]

    def clear(self) -> None:
        """Forget everything."""
        self._samples.clear()
        self.bytes = 0

    @property
    def _oldest(self) -> int:
        return self._samples[0][1].moment


def pack(image: Image) -> bytes:
    """A picture (H, W, 3) as JPEG."""
    out = io.BytesIO()
    Picture.fromarray(np.ascontiguousarray(image)).save(out, "JPEG", quality=QUALITY, subsampling=0)
    return out.getvalue()


def unpack(data: bytes | Image) -> Image:
    """The picture (H, W, 3) of a JPEG."""
    return np.asarray(Picture.open(io.BytesIO(bytes(data))).convert("RGB"))
