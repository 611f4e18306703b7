"""A program on a terminal of its own, and somebody who reads and types there, as over SSH."""

import contextlib
import os
import pty
import re
import select
import signal
import termios
import time

from .bed import PATIENCE

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Runs a command with a pseudo-terminal as its controlling one, for as long as the context lasts."""

    def __init__(self, words, environment):
        self._words, self._environment = words, environment
        self.raw, self.status = b"", None

    def __enter__(self):
        self._pid, self._master = pty.fork()
        if self._pid == 0:
            try:
                os.execvpe(self._words[0], self._words, self._environment)
            finally:
                os._exit(127)
        self.before = termios.tcgetattr(self._master)
        return self

    def __exit__(self, *_):
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGINT)
            with contextlib.suppress(AssertionError):
                self.ends()
        if self.status is None:
            os.killpg(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._master)

    @property
    def text(self):
        """All that was shown, without colours and movements, on one line: a terminal breaks lines anywhere."""
        return " ".join(_ESCAPES.sub("", self.raw.decode("utf-8", "replace")).split())

    def type(self, keys):
        os.write(self._master, keys.encode())

    def hold(self, key, seconds):
        """A held key, as a terminal repeats it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.type(key)
            self._read(0.04)

    def says(self, text, seconds=PATIENCE):
        """Wait until it is shown behind what was waited for last."""
        deadline = time.monotonic() + seconds
        start = getattr(self, "_seen", 0)
        while (found := self.text.find(text, start)) < 0:
            assert time.monotonic() < deadline, f"never said {text!r}: {self.text[start:][-3000:]}"
            assert self.status is None, f"ended without {text!r}: {self.text[-3000:]}"
            self._read(0.1)
        self._seen = found + len(text)

    def ends(self, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while self.status is None:
            assert time.monotonic() < deadline, f"did not end: {self.text[-2000:]}"
            self._read(0.1)
        return self.status

    def modes(self):
        return termios.tcgetattr(self._master)

    def _read(self, seconds):
        with contextlib.suppress(OSError):  # nobody has the other end any more
            if select.select([self._master], [], [], seconds)[0]:
                self.raw += os.read(self._master, 65536)
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            self.status = os.waitstatus_to_exitcode(status)
