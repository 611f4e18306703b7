"""The page in a real Chromium, before a service around a robot that is played by the test."""

import pytest

from tests.episodes.recordings import record
from vla_ros.dashboard.access import COOKIE

from .browser import Running, holds, opened, until
from .fake import DRIVE, WATCH, tokens

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    with opened() as browser:
        yield browser


@pytest.fixture
def running():
    with Running() as running:
        yield running


@pytest.fixture
def page(browser, running):
    with_errors = visit(browser, running)
    yield with_errors
    assert with_errors.errors == []
    with_errors.context.close()


def visit(browser, running, **options):
    page = browser.new_context(**options).new_page()
    page.errors, page.asked = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(running.url)
    return page


def live(page):
    until(page, "document.getElementById('link').textContent === 'live'")


def test_what_the_robot_says_is_on_the_page(page):
    live(page)
    assert page.inner_text("#mode") == "ACTIVE"
    assert page.inner_text("#current") == "pick up the red cube"
    assert page.is_hidden("#stale")
    until(page, "document.querySelector('#policies summary')?.textContent.startsWith('demo (served) verified')")
    until(page, "vlaRos.plots.data[0][1].some(speed => Math.abs(speed - 0.05 / 0.15) < 1e-6)", "the speed's plot")


PIXELS = """([view, wanted]) => {
  const canvas = vlaRos.views[view].canvas, data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  for (let k = 0; k < data.length; k += 4)
    if (wanted.every((value, c) => Math.abs(data[k + c] - value) < 20)) return true;
  return false;
}"""
PINK = [255, 45, 149]


def test_both_cameras_are_drawn_with_the_coming_way_of_the_tool(page):
    live(page)
    until(page, "vlaRos.views.every(view => view.latencies.length > 3)", "pictures")
    holds(page, lambda: page.evaluate(PIXELS, [0, PINK]))
    assert page.evaluate("vlaRos.views[0].path.length") == 6


def test_stop_is_a_button_and_the_space_bar_but_no_letter_of_an_instruction(page, running):
    live(page)
    wishes = running.robot.commands.wishes
    page.click("#stop")
    holds(page, lambda: wishes == ["stop"])
    page.click("#robot")
    page.keyboard.press("Space")
    holds(page, lambda: wishes == ["stop", "stop"])
    page.focus("#enable")
    page.keyboard.press("Space")
    holds(page, lambda: wishes == ["stop"] * 3)
    page.click("#instruction")
    page.keyboard.type("go on")
    page.wait_for_timeout(300)
    assert wishes == ["stop"] * 3
    assert page.input_value("#instruction") == "go on"


def test_an_instruction_is_given_and_remembered(page, running):
    live(page)
    page.fill("#instruction", "pick up the blue cube")
    page.keyboard.press("Enter")
    holds(page, lambda: running.robot.commands.instructions == ["pick up the blue cube"])
    page.click("#tasks button >> nth=0")
    page.click("#idle")
    holds(page, lambda: running.robot.commands.instructions[1:] == ["pick up the red cube", ""])
    page.reload()
    live(page)
    offered = page.eval_on_selector_all("#sentences option", "all => all.map(one => one.value)")
    assert offered[:2] == ["pick up the red cube", "pick up the blue cube"]


def test_a_refusal_is_told_in_the_robots_words(page, running):
    from vla_ros.dashboard.commands import Answer

    live(page)
    running.robot.commands.answer = Answer(False, "a camera is stale")
    page.click("#enable")
    until(page, "document.getElementById('answer').textContent === 'enable: a camera is stale'")


def test_the_recorder_is_shown_where_one_is_heard_with_buttons_and_their_keys(page, running):
    live(page)
    assert page.is_hidden("#recorder")
    assert page.is_hidden("#episodes")
    running.recorder = ("armed", {})
    until(page, "document.getElementById('phase').textContent === 'armed'")
    assert page.inner_text("#sentence") == "pick up the red cube"
    assert page.inner_text("#following") == "1 of 2; then: push the blue cube"
    assert page.eval_on_selector_all("#eyes tbody tr", "rows => rows.map(row => row.innerText.split(/\\s+/))") == [
        ["static", "30.0", "12.0", "ms", "2"],
        ["wrist", "29.9", "9", "ms", "0"],
    ]
    events = running.robot.commands.events
    assert page.is_disabled("#keys [data-event=success]")
    page.click("#robot")
    page.keyboard.press("y")
    page.click("#keys [data-event=toggle]")
    holds(page, lambda: events == ["toggle"])
    running.recorder = ("recording", {"seconds": "73.25", "frames": "731"})
    until(page, "document.getElementById('clock').textContent === '1:13.2'")
    assert page.inner_text("#take") == "● 1:13.2"
    for key in ("y", "n", "x", "b", "Enter"):
        page.keyboard.press(key)
    holds(page, lambda: events == ["toggle", "success", "failure", "discard", "rerecord", "toggle"])
    page.click("#instruction")
    page.keyboard.type("by")
    page.wait_for_timeout(200)
    assert len(events) == 6


def test_what_is_in_the_recorder_s_way_is_told_in_words(page, running):
    live(page)
    running.recorder = ("idle", {"obstacle": "camera wrist is silent since 2.1 s"})
    until(page, "document.getElementById('obstacle').textContent === 'camera wrist is silent since 2.1 s'")
    assert page.locator("#keys button:enabled").count() == 0
    running.recorder = None
    until(page, "document.getElementById('phase').textContent === 'not heard'")


def test_episodes_are_listed_with_their_health_and_pictures(page, running, tmp_path):
    live(page)
    root = record(tmp_path / "data", 7, 5)
    running.recorder = ("armed", {"dataset": str(root), "episodes": "2"})
    until(page, "document.querySelectorAll('#list tr').length === 2")
    first = page.inner_text("#list tr >> nth=0").split("\t")
    assert (first[0].strip(), first[1], first[2]) == ("1", "0.5 s", "push the red cube 1")
    assert "jumps" in first[4]
    record(tmp_path / "data", 6)
    running.recorder = ("armed", {"dataset": str(root), "episodes": "3"})
    until(page, "document.querySelectorAll('#list tr').length === 3")
    page.click("#list button >> nth=0")
    until(page, "document.querySelector('#list img')?.naturalWidth > 600", "pictures")
    page.click("#list button >> nth=0")
    assert page.locator("#list img").count() == 0


def test_letters_drive_only_where_that_was_asked_for(page, running):
    live(page)
    drives = running.robot.commands.drives
    page.keyboard.down("w")
    page.wait_for_timeout(300)
    page.keyboard.up("w")
    assert drives == []
    page.check("#typing")
    page.keyboard.down("w")
    holds(page, lambda: len(drives) >= 3)
    page.keyboard.up("w")
    page.wait_for_timeout(200)
    count = len(drives)
    page.wait_for_timeout(300)
    assert len(drives) == count
    assert drives[0][0][0] > 0
    page.fill("#instruction", "")
    page.keyboard.down("w")
    page.wait_for_timeout(300)
    assert len(drives) == count


def test_a_lost_service_is_told_and_comes_back_by_itself(page, running):
    live(page)
    running.lose()
    until(
        page,
        "!document.getElementById('stale').hidden && /is \\d+ s old/.test(document.getElementById('stale').textContent)",
    )
    until(page, "document.getElementById('link').textContent === 'no connection'")
    running.serve()
    live(page)
    shown = page.evaluate("vlaRos.views[0].latencies.length")
    until(page, f"vlaRos.views[0].latencies.length > {shown} || {shown} === 300", "pictures again")


def test_a_silent_robot_behind_a_living_service_is_old_too(page, running):
    live(page)
    running.speaking = False
    until(page, "document.getElementById('link').textContent === 'robot not heard'")
    until(page, "vlaRos.views[0].figure.classList.contains('old')")
    running.speaking = True
    live(page)


def test_the_pad_drives_while_it_is_held_and_lets_go(page, running):
    live(page)
    drives = running.robot.commands.drives
    button = page.locator("#pad button", has_text="up")
    button.scroll_into_view_if_needed()
    button.hover()
    page.mouse.down()
    holds(page, lambda: len(drives) >= 5)
    page.mouse.up()
    page.wait_for_timeout(200)
    count = len(drives)
    page.wait_for_timeout(300)
    assert len(drives) == count
    cap = running.robot.config.limits.speed * 0.6
    assert drives[1][0] == pytest.approx((0, 0, 0.5 * cap, 0, 0, 0))
    button.focus()
    page.keyboard.down("Enter")
    holds(page, lambda: len(drives) > count)
    page.evaluate("dispatchEvent(new Event('blur'))")
    page.wait_for_timeout(200)
    count = len(drives)
    page.wait_for_timeout(300)
    assert len(drives) == count


GAMEPAD = """pressed => { navigator.getGamepads = () => [{ axes: [0, -1, 0, 0],
  buttons: [...Array(17)].map((_, k) => ({ pressed: k === 5 && pressed, value: 0 })) }]; }"""


def test_a_gamepad_drives_with_its_clutch_only(page, running):
    live(page)
    drives = running.robot.commands.drives
    page.evaluate(GAMEPAD, False)
    page.wait_for_timeout(300)
    assert drives == []
    page.evaluate(GAMEPAD, True)
    holds(page, lambda: len(drives) >= 3)
    assert drives[0][0][0] > 0
    page.evaluate(GAMEPAD, False)
    page.wait_for_timeout(200)
    count = len(drives)
    page.wait_for_timeout(200)
    assert len(drives) == count


def test_who_has_no_token_is_asked_for_it_and_who_may_watch_can_only_stop(browser):
    with Running(tokens()) as running:
        page = visit(browser, running)
        until(page, "!document.getElementById('login').hidden")
        page.fill("#token", "wrong")
        page.click("#login button")
        until(page, "document.getElementById('answer').textContent === 'this token is not known'")
        page.fill("#token", WATCH)
        page.click("#login button")
        live(page)
        assert COOKIE not in page.evaluate("document.cookie")
        assert page.is_disabled("#enable")
        assert page.is_disabled("#say button")
        running.recorder = ("armed", {})
        until(page, "document.getElementById('phase').textContent === 'armed'")
        assert page.locator("#keys button:enabled").count() == 0
        page.click("#stop")
        holds(page, lambda: running.robot.commands.wishes == ["stop"])
        page.request.post(f"{running.url}api/session", data={"token": DRIVE})
        page.reload()
        live(page)
        assert page.is_enabled("#enable")
        page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_light_and_dark(browser, running, scheme):
    page = visit(browser, running, viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True)
    live(page)
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    box = page.locator("#stop").bounding_box()
    assert box["height"] >= 44
    assert box["x"] + box["width"] <= 360
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(ground.split("(")[1].split(",")[0]) < 60) is (scheme == "dark")
    page.tap("#stop")
    holds(page, lambda: running.robot.commands.wishes == ["stop"])
    assert page.errors == []
    page.context.close()


def test_nothing_is_asked_of_any_other_host(page, running):
    live(page)
    assert page.asked
    assert [url for url in page.asked if not url.startswith(running.url)] == []


def test_every_control_has_a_name_and_can_be_reached_by_keys(page):
    live(page)
    nameless = """[...document.querySelectorAll('button, input')].filter(one => one.offsetParent &&
      !(one.textContent.trim() || one.labels?.length || one.getAttribute('aria-label'))).map(one => one.id)"""
    assert page.evaluate(nameless) == []
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"stop", "instruction", "enable", "reset", "up", "share", "log"} <= reached
