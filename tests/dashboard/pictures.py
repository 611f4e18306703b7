"""The pictures of docs/dashboard.md: every state of the page, of a living service in the twin. Run by hand:

python -m tests.dashboard.pictures docs/images
"""

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path

import httpx
import PIL.Image
import pytest

from vla_ros.commands.browser import chromium
from vla_ros.commands.episodes import TwinLink, set_up
from vla_ros.commands.live import Live, enable, enter_ros, live, port_near
from vla_ros.config import load

from .browser import Running, opened, until
from .fake import tokens

DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
TASKS = ["pick up the red cube", "push the blue cube"]
PATIENT = {"camera_hold": 1.0, "camera_disarm": 4.0, "feedback_hold": 0.3, "feedback_stop": 0.6, "observation": 0.6}
ARMED = "document.getElementById('phase').textContent === 'armed'"
MODE = "document.getElementById('mode').textContent === "


class Album:
    """Where pictures go: small PNGs of 256 colours."""

    def __init__(self, folder):
        self._folder = folder

    def keep(self, page, name, **options):
        data = page.screenshot(**options)
        picture = PIL.Image.open(io.BytesIO(data)).convert("RGB").quantize(256, dither=PIL.Image.Dither.NONE)
        path = self._folder / f"dashboard-{name}.png"
        picture.save(path, optimize=True)
        print(f"{path}: {path.stat().st_size // 1000} kB")

    def element(self, page, name, selector):
        page.locator(selector).scroll_into_view_if_needed()
        box = page.locator(selector).bounding_box()
        self.keep(page, name, clip={key: round(box[key]) for key in ("x", "y", "width", "height")})
        page.evaluate("scrollTo(0, 0)")


@contextlib.contextmanager
def service(**settings):
    """The twin's service with a page; a busy machine is late with pictures, which is not what is shown."""
    given = (
        {"dashboard.port": port_near(0)} | {f"deadlines.{name}": value for name, value in PATIENT.items()} | settings
    )
    with live(load("twin", overrides=[f"{name}={value}" for name, value in given.items()])) as running:
        address = running.service.config.dashboard.address

        def served():
            try:
                return httpx.get(f"{address}healthz").status_code == 200
            except httpx.TransportError:
                return False

        assert running.client.wait(served, 30.0)
        yield running


def looked_at(browser, running: Live, **options):
    page = browser.new_context(**({"viewport": DESK} | options)).new_page()
    page.goto(running.service.config.dashboard.address)
    until(page, "document.getElementById('link').textContent === 'live'")
    until(page, "vlaRos.views.every(view => view.latencies.length > 20)")
    return page


def moving(page, running: Live, seed):
    """Have the arm begin a task, with its way drawn."""
    if running.client.arm.values.get("mode") == "STOPPED":
        running.client.trigger("/arm/reset")
    twin = TwinLink(running)
    set_up(running, twin, seed)
    enable(running.client)
    running.client.instruct(bytes(twin.task()["instruction"]).decode())
    twin.close()
    until(page, f"{MODE}'ACTIVE' && vlaRos.views[0].path.length > 3 && vlaRos.snapshot.command?.speed > 0.03")


def of_the_arm(album, browser):
    with service() as running:
        page = looked_at(browser, running)
        page.wait_for_timeout(3000)
        album.keep(page, "disarmed")
        album.element(page, "policy", "#policy")
        moving(page, running, 3)
        page.wait_for_timeout(700)
        album.keep(page, "moving")
        page.click("#stop")
        until(page, f"{MODE}'STOPPED'")
        page.wait_for_timeout(1500)
        album.keep(page, "stopped")
        page.context.close()
        for name, options in {
            "dark": {"color_scheme": "dark"},
            "phone": {"viewport": PHONE, "has_touch": True},
        }.items():
            page = looked_at(browser, running, **options)
            moving(page, running, 4)
            page.wait_for_timeout(700)
            album.keep(page, name)
            if name == "dark":
                page.context.close()
    until(page, "!document.getElementById('stale').hidden")
    page.set_viewport_size(DESK)
    page.wait_for_timeout(2500)
    album.keep(page, "lost")
    page.context.close()


def of_the_recorder(album, browser):
    with tempfile.TemporaryDirectory() as folder:
        settings = {"record.output": f"{folder}/cubes", "record.tasks": json.dumps(TASKS), "record.park": "false"}
        with service(**settings, **{"record.rate_tolerance": 0.95}) as running:
            page = looked_at(browser, running)
            page.wait_for_timeout(5000)  # a page that loads, and each picture of one, costs a small machine frames
            enable(running.client)
            for outcome in ("success", "failure"):
                take(page, outcome)
            page.click("#keys [data-event=toggle]")
            until(page, "document.getElementById('phase').textContent === 'recording'")
            hold(page, "down", 2500, lambda: album.keep(page, "recording"))
            by_hand(album, page)
            page.click("#keys [data-event=toggle]")
            until(page, "document.getElementById('phase').textContent === 'deciding'")
            page.wait_for_timeout(400)
            album.keep(page, "deciding")
            page.click("#keys [data-event=discard]")
            until(page, ARMED)
            page.wait_for_timeout(2000)
            take(page, "success", 2500)
            until(page, "document.querySelectorAll('#list tr').length === 3")
            page.click("#list button >> nth=0")
            until(page, "document.querySelector('#list img')?.naturalWidth > 300")
            page.evaluate("document.getElementById('dataset').hidden = true")  # a temporary folder's
            album.element(page, "episodes", "#episodes")
            page.context.close()


def take(page, outcome, milliseconds=1200):
    page.click("#keys [data-event=toggle]")
    until(page, "document.getElementById('phase').textContent === 'recording'")
    hold(page, "up", milliseconds)
    page.click(f"#keys [data-event={outcome}]")
    until(page, ARMED)


def hold(page, label, milliseconds, meanwhile=lambda: None):
    button = page.locator("#pad button", has_text=label)
    button.scroll_into_view_if_needed()
    button.hover()
    page.mouse.down()
    page.wait_for_timeout(milliseconds)
    page.evaluate("scrollTo(0, 0)")
    meanwhile()
    page.mouse.up()


def by_hand(album, page):
    button = page.locator("#pad button", has_text="forward")
    button.scroll_into_view_if_needed()
    button.hover()
    page.mouse.down()
    page.wait_for_timeout(800)
    album.element(page, "hand", "#driving")
    page.mouse.up()
    page.evaluate("scrollTo(0, 0)")


def of_the_door(album, browser):
    with Running(tokens()) as running:
        page = browser.new_context(viewport={"width": 1000, "height": 520}).new_page()
        page.goto(running.url)
        until(page, "!document.getElementById('login').hidden")
        album.keep(page, "token")
        page.context.close()


@contextlib.contextmanager
def modest_browser():
    """Chromium behind the service, from which it takes nothing on a robot: there it runs on another machine."""
    installed = chromium() or sys.exit("no Chromium: apt install chromium, or name it as VLA_ROS_CHROMIUM")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        program = Path(folder) / "chromium"
        program.write_text(f'#!/bin/sh\nexec nice -n 15 {installed} "$@"\n')
        program.chmod(0o755)
        patch.setenv("VLA_ROS_CHROMIUM", str(program))
        with opened() as browser:
            yield browser


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    enter_ros()
    with modest_browser() as browser:
        for chapter in (of_the_door, of_the_arm, of_the_recorder):
            chapter(Album(folder), browser)


if __name__ == "__main__":
    main()
