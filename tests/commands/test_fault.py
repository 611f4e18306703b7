"""`vla-ros fault`: which node, and what it is told."""

import pytest

from vla_ros import cli
from vla_ros.commands.errors import CommandError
from vla_ros.commands.fault import told


@pytest.mark.parametrize(
    ("words", "node", "text"),
    [
        (("static_camera", "freeze", 2.0, None), "static_camera", "freeze 2"),
        (("policy", "delay", 1.5, 0.25), "policy", "delay 1.5 0.25"),
        (("arm-feedback", "disconnect", 0.1, None), "arm", "feedback disconnect 0.1"),
        (("arm-command", "drop", 3.0, 0.5), "arm", "command drop 3 0.5"),
    ],
)
def test_a_node_is_told_its_fault(words, node, text):
    assert told(*words) == (node, text)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("policy", "melt", 2.0, None), "is no fault"),
        (("policy", "delay", 2.0, None), "AMOUNT"),
        (("arm", "freeze", 2.0, None), "arm-feedback or arm-command"),
        (("arm-elbow", "freeze", 2.0, None), "arm-feedback or arm-command"),
    ],
)
def test_what_is_no_fault_is_refused_before_anybody_is_asked(words, says):
    with pytest.raises(CommandError, match=says):
        told(*words)


def test_the_command_line_refuses_with_2(capsys):
    assert cli.main(["fault", "policy", "melt"]) == 2
    assert "'melt' is no fault" in capsys.readouterr().err
