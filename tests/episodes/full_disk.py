"""Records until a small file system is full, again and again with another size: run in a mount namespace of its own.

    unshare -rm python -m tests.episodes.full_disk FOLDER

Prints a line of JSON for every size: what was said when nothing could be saved any more, and how many episodes can be read.
"""

import json
import subprocess
import sys
from pathlib import Path

from vla_ros.episodes import rows
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.memory import Memory
from vla_ros.episodes.recorder import Begin, Commit, End
from vla_ros.episodes.scribe import Scribe

from .test_kills import FRAMES, assert_whole
from .test_scribe import CONFIG, FPS, sample

SIZES = range(300, 1000, 37)
"""kB: in steps smaller than an episode, so that the disk is full at another stage each time."""
MOST = 200


def mount(folder, *options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)], check=True)


def take(scribe):
    """One episode: whether it was saved, and what was said."""
    first = scribe.told.episodes
    scribe.do(Begin(f"task {first % 3}"))
    for number in range(FRAMES):
        scribe.put(sample(number=first * FRAMES + number))
    scribe.do(End())
    trouble = scribe.told.trouble
    scribe.do(Commit(True))
    return scribe.told.episodes > first, trouble or scribe.told.text


def fill(folder, size):
    """Record on a file system of `size` kB until it is full, then on, once it has grown."""
    mount(folder, f"size={size}k")
    try:
        path = folder / "data"
        scribe = Scribe(DatasetWriter(path, rows.features(CONFIG), FPS, CONFIG.robot), path, FPS, Memory(0, 1))
        saved = True
        for _ in range(MOST):
            saved, said = take(scribe)
            if not saved:
                break
        full = assert_whole(path)
        told = scribe.told.episodes
        mount(folder, "remount", "size=64m")
        again, _ = take(scribe)
        scribe.close()
        return {
            "said": said,
            "filled": not saved,
            "read": full,
            "told": told,
            "again": again,
            "after": assert_whole(path),
        }
    finally:
        subprocess.run(["umount", str(folder)], check=True)


if __name__ == "__main__":
    for kilobytes in SIZES:
        sys.stdout.write(json.dumps(fill(Path(sys.argv[1]), kilobytes)) + "\n")
        sys.stdout.flush()
