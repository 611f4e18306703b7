"""`vla-ros record` as a person uses it: on a terminal, by keys alone, to the end; then every other verb on what came of it."""

import json
import os
import re
import shutil
import sys

import numpy as np
import pytest

from vla_ros.cli import main
from vla_ros.episodes.reader import DatasetReader

from .bed import PATIENCE
from .terminal import Terminal

TASKS = ("pick up the red cube", "push the blue cube")
QUIET = (
    "record.rate_tolerance=0.95",
    "deadlines.camera_hold=2.0",
    "deadlines.camera_disarm=8.0",
    "deadlines.feedback_hold=0.5",
    "deadlines.feedback_stop=4.0",
    "policy.bundle=constant:0.46,0.05,0.18",
)
"""A machine that is busy elsewhere is no reason to end an episode."""


def words(output, *more):
    settings = [word for setting in QUIET for word in ("--set", setting)]
    return [sys.executable, "-m", "vla_ros.cli", "record", str(output), *settings, *more]


def environment():
    gone = ("ROS_DOMAIN_ID", "ROS_LOG_DIR")
    return {k: v for k, v in os.environ.items() if k not in gone} | {"COLUMNS": "160", "TERM": "xterm"}


def session(terminal):
    """One success, one discarded, one skipped instruction, the last seconds saved as a failure, one recorded anew."""
    terminal.says("recording goes on behind them", 4 * PATIENCE)
    terminal.type("\r")
    terminal.says(f"recording: {TASKS[0]}")
    terminal.hold("a", 2.0)
    terminal.type("\r")
    terminal.says("ended: success, failure, discard or rerecord?")
    terminal.type("\r")
    terminal.says("say what the last one was first")
    terminal.type("y")
    terminal.says(f"saved as a success; put the scene back for: {TASKS[1]}")
    ready(terminal)
    terminal.says(f"recording: {TASKS[1]}")
    terminal.hold("d", 0.5)
    terminal.type("x")
    terminal.says("discarded; put the scene back")
    terminal.type("t")
    terminal.says(f"next: {TASKS[0]}")
    ready(terminal)
    terminal.hold("r", 0.5)
    terminal.type("b")
    terminal.says("recording begins by itself")
    terminal.says(f"recording: {TASKS[0]}", 2 * PATIENCE)
    terminal.hold("f", 1.0)
    terminal.type("n")
    terminal.says(f"saved as a failure; put the scene back for: {TASKS[1]}")


def ready(terminal):
    """Press Enter until it is taken: it is not while the arm parks."""
    start = len(terminal.text)
    for _ in range(100):
        terminal.type("\r")
        terminal.hold("", 0.5)
        if "recording: " in terminal.text[start:]:
            terminal._seen = start
            return
    raise AssertionError(terminal.text[start:])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """What a session has left: the dataset, and what the terminal showed."""
    folder = tmp_path_factory.mktemp("session")
    tasks = [word for task in TASKS for word in ("--task", task)]
    with Terminal(words(folder / "data", *tasks), environment()) as terminal:
        session(terminal)
        terminal.hold("", 1.0)
        terminal.type("\x03")
        status = terminal.ends()
        after = terminal.modes()
    return folder / "data", terminal.text, status, terminal.before, after


def test_a_session_by_keys_alone_leaves_its_episodes_and_the_terminal_as_it_was(recorded):
    path, text, status, before, after = recorded
    assert status in (0, 130), text[-2000:]
    assert "2 episodes recorded" in text
    assert after == before
    reader = DatasetReader(path)
    assert [episode.task for episode in reader.episodes] == [TASKS[0], TASKS[0]]
    success = [bool(reader.column("success")[episode.start, 0]) for episode in reader.episodes]
    assert success == [True, False]
    moved = np.ptp(reader.column("observation.state")[: reader.episodes[0].length, 1])
    assert moved > 0.01, "the key moved the tool"
    assert sorted(p.name for p in (path / "mcap").iterdir()) == ["episode-000000.mcap", "episode-000001.mcap"]


def test_every_verb_works_on_it(recorded, tmp_path, capsys):
    source, *_ = recorded
    path = tmp_path / "data"
    shutil.copytree(source, path)

    def ran(*given, status=0):
        assert main(["episodes", *map(str, given)]) == status, capsys.readouterr()
        return capsys.readouterr().out

    listed = ran("list", path)
    assert "2 episodes" in listed
    assert re.search(r"success.*pick up the red cube", listed)
    ran("show", path, 0, "--output", tmp_path / "pictures")
    assert {p.name for p in (tmp_path / "pictures").iterdir()} == {
        "episode-000000-frames.png",
        "episode-000000-plots.png",
    }
    assert main(["episodes", "check", str(path), "--json", str(tmp_path / "check.json")]) in (0, 1)
    assert "2 episodes" in capsys.readouterr().out
    assert isinstance(json.loads((tmp_path / "check.json").read_text()), list)
    ran("trim", path, 0, "--start", 0.2, "--end", 1.2)
    assert DatasetReader(path).episodes[0].length == 30
    ran("merge", path, source, "--output", tmp_path / "all")
    assert len(DatasetReader(tmp_path / "all").episodes) == 4
    ran("delete", tmp_path / "all", 1, 2)
    assert len(DatasetReader(tmp_path / "all").episodes) == 2
    assert "no interrupted take" in ran("recover", path)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["list", "{none}"], "is not a dataset"),
        (["show", "{data}", "9"], "has no episode 9: it has 2"),
        (["trim", "{data}", "0", "--start", "50"], "episode 0 has"),
        (["trim", "{data}", "0", "--start", "nan"], "--start"),
        (["delete", "{data}", "9"], "has no episode 9"),
        (["merge", "{data}", "{none}", "--output", "{new}"], "is not a dataset"),
        (["merge", "{data}", "--output", "{data}"], "already has 2 episodes"),
        (["replay", "{data}", "9"], "has no episode 9"),
        (["replay", "{data}", "0", "--speed", "3"], "give a share from 0.05 to 1"),
        (["recover", "{none}"], "is not a dataset"),
    ],
)
def test_wrong_names_get_an_answer(recorded, tmp_path, capsys, given, says):
    path, *_ = recorded
    names = {"data": path, "none": tmp_path / "none", "new": tmp_path / "new"}
    assert main(["episodes", *(word.format(**names) for word in given)]) != 0
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said


def test_a_replay_without_a_service_says_so(recorded, processes):
    path, *_ = recorded
    process = processes.start("vla_ros.cli", "episodes", "replay", path, 0, ROS_DOMAIN_ID="77")
    assert process.ends() != 0
    assert "nothing comes on /arm/tool_pose" in process.text
    assert "Traceback" not in process.text


def test_what_is_damaged_is_named(recorded, tmp_path, capsys):
    source, *_ = recorded
    path = tmp_path / "data"
    shutil.copytree(source, path)
    video = next((path / "videos").rglob("file-000.mp4"))
    video.write_bytes(video.read_bytes()[:5000])
    assert main(["episodes", "check", str(path)]) == 1
    assert f"{video} cannot be read" in capsys.readouterr().out
    assert main(["episodes", "show", str(path), "0", "--output", str(tmp_path)]) == 2
    assert f"{video} cannot be read" in capsys.readouterr().err
    table = next((path / "data").rglob("file-000.parquet"))
    table.write_bytes(table.read_bytes()[:500])
    for verb in (["list"], ["check"], ["delete"], ["replay"]):
        more = ["0"] if verb[0] in ("delete", "replay") else []
        assert main(["episodes", *verb, str(path), *more]) == 2, verb
        assert f"{table} cannot be read" in capsys.readouterr().err


def test_without_a_terminal_the_command_says_what_to_do(tmp_path, processes):
    process = processes.start("vla_ros.cli", *words(tmp_path / "data", "--task", "push")[3:], ROS_DOMAIN_ID=None)
    assert process.ends(4 * PATIENCE) != 0
    assert "needs a terminal" in process.text
