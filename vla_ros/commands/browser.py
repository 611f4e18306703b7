"""Chromium, driven by Playwright: for benchmarks and tests of the page."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""For Chromium as root, without a graphics card, and with nothing asked of the network by itself."""


class NoBrowserError(Exception):
    """There is no browser to be driven. The text says what to install."""


def chromium() -> str | None:
    """The browser's program: VLA_ROS_CHROMIUM, or one that is installed. None: Playwright's own."""
    return os.environ.get("VLA_ROS_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def opened() -> Iterator[Any]:
    """Chromium as a `playwright.sync_api.Browser`. Raises NoBrowserError."""
    try:
        from playwright import sync_api
    except ModuleNotFoundError:
        raise NoBrowserError("no Playwright: pip install playwright") from None
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS])
        except sync_api.Error as error:
            why = str(error).splitlines()[0]
            raise NoBrowserError(f"no Chromium ({why}): apt install chromium, or name it as VLA_ROS_CHROMIUM") from None
        with contextlib.closing(browser):
            yield browser
