"""A real browser, and the service that it opens, for the tests of the page."""

import contextlib
import threading
import time

import pytest

from vla_ros.clock import MonotonicClock
from vla_ros.commands import browser as driven
from vla_ros.commands.live import port_near
from vla_ros.dashboard.serve import Server

from .fake import Robot

PATIENCE = 20.0


def sync_api():
    """Playwright. The test is skipped where there is none."""
    return pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")


@contextlib.contextmanager
def opened():
    """Chromium. The test is skipped where there is none."""
    with contextlib.ExitStack() as stack:
        try:
            browser = stack.enter_context(driven.opened())
        except driven.NoBrowserError as error:
            pytest.skip(str(error))
        yield browser


def until(page, condition, what="", seconds=PATIENCE):
    """Wait for a JavaScript expression to be true: by evaluation, since the page's policy forbids what `wait_for_function` does."""
    deadline = time.monotonic() + seconds
    while not _true(page, condition):
        assert time.monotonic() < deadline, f"never true: {what or condition}"
        page.wait_for_timeout(30)


def _true(page, condition):
    try:
        return page.evaluate(condition)
    except sync_api().Error as error:
        if "context was destroyed" in str(error):  # the page is being loaded anew
            return False
        raise


def holds(page, condition, seconds=PATIENCE):
    """Wait for a Python condition while the browser goes on."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "never true"
        page.wait_for_timeout(30)


class Running:
    """A robot that speaks 20 times a second, served."""

    def __init__(self, tokens=None, **settings):
        self.port = port_near(0)
        self.robot = Robot(tokens, clock=MonotonicClock(), port=self.port, **settings)
        self.url = f"http://127.0.0.1:{self.port}/"
        self.speaking, self.recorder = True, None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)

    def __enter__(self):
        self._thread.start()
        self.serve()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        self.server.stop()

    def serve(self):
        self.server = Server(self.robot.made(), self.robot.config)
        self.server.start()

    def lose(self):
        self.server.stop()

    def _speak(self):
        level = 0
        while not self._ended.wait(0.05):
            if self.speaking:
                level = (level + 10) % 250
                self.robot.fill()
                if self.recorder is not None:
                    self.robot.take(self.recorder[0], **self.recorder[1])
                self.robot.see("static", level)
                self.robot.see("wrist", level)
