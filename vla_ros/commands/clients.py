"""`vla-ros say`, `stop`, `enable`, `disable`, `reset`, `status`: small clients of a running service, for who has no ros2 command."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from vla_ros.commands import live

if TYPE_CHECKING:
    from vla_ros.nodes.client import Client

WISHES = {
    "enable": "let the arm move; needs fresh cameras, feedback and policy, and the arm at rest",
    "disable": "bring the arm to rest and let it move no more",
    "stop": "stop the arm at once; it stays stopped until reset",
    "reset": "leave the stop; the arm then needs enabling",
}


def add_commands(subparsers: Any) -> None:
    """Add them to the command line."""
    say = subparsers.add_parser("say", help="give a running service an instruction")
    say.add_argument("text", help="what to do; an empty text makes it idle")
    say.add_argument("--enable", action="store_true", help="enable the arm first, as soon as nothing is in the way")
    say.set_defaults(run=run_say)
    for wish, text in WISHES.items():
        parser = subparsers.add_parser(wish, help=text)
        parser.set_defaults(run=run_wish, wish=wish)
    for parser in [subparsers.choices[name] for name in ("say", *WISHES)]:
        parser.add_argument(
            "--domain", type=int, help="ROS domain of the service (default: ROS_DOMAIN_ID, or the only service)"
        )


def run_say(options: argparse.Namespace) -> int:
    """Publish the instruction and tell what the policy makes of it. 1 where it refuses."""
    choose_domain(options.domain)
    live.enter_ros()
    from vla_ros.nodes.client import Client

    with Client() as client:
        if options.enable:
            live.enable(client)
        client.instruct(options.text)
        understood = _answered(client, options.text.strip())
        client.wait(lambda: client.arm.count > 0, 2.0)
        sys.stdout.write(f"policy: {client.policy.message or 'no answer'}\narm: {client.arm.message or 'no answer'}\n")
        return 0 if understood else 1


def _answered(client: Client, text: str) -> bool:
    """Whether the policy takes the instruction up; it refuses by a status of its own."""
    before = client.policy.count

    def answered() -> bool:
        policy = client.policy
        return policy.count > before + 1 and (policy.values.get("instruction") == text or policy.level > 0)

    client.wait(answered, 5.0)
    return client.policy.values.get("instruction") == text


def run_wish(options: argparse.Namespace) -> int:
    """Call the service. 1 where it refuses."""
    choose_domain(options.domain)
    live.enter_ros()
    from vla_ros.nodes.client import Client

    with Client() as client:
        done, text = client.trigger(f"/arm/{options.wish}")
    sys.stdout.write(f"{text}\n")
    return 0 if done else 1


def choose_domain(given: int | None) -> None:
    """Talk in the given domain, else in that of the environment, else in that of the only service of this machine."""
    if given is not None:
        os.environ["ROS_DOMAIN_ID"] = str(given)
    elif not os.environ.get("ROS_DOMAIN_ID"):
        from vla_ros.nodes.domain import claimed

        running = claimed()
        if len(running) == 1:
            os.environ["ROS_DOMAIN_ID"] = str(running[0])
