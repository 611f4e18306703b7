"""The twin as a process: physics in real time, met through shared blocks.

`python -m vla_ros.twin.process --runtime DIR`
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from vla_ros.clock import MILLISECOND, SECOND, Clock, MonotonicClock
from vla_ros.config import Config, ConfigError, load
from vla_ros.runtime import Stopping, folder, run_ahead
from vla_ros.shared import Block
from vla_ros.twin import blocks, tasks
from vla_ros.twin.controller.measured import Measured, measure
from vla_ros.twin.controller.robot import Robot
from vla_ros.twin.controller.server import KortexServer, PortTakenError
from vla_ros.twin.inbox import Inbox
from vla_ros.twin.physics import Twin
from vla_ros.values import ArmState

log = logging.getLogger(__name__)

CYCLE = 4 * MILLISECOND
CATCH_UP = 100 * MILLISECOND
"""Time that physics may make up for at once; what is more is skipped and counted."""
TASK_PERIOD = 50 * MILLISECOND
SWITCH = 0.0005
"""s for which one Python thread may keep others waiting: answers to Kortex calls come from a thread beside physics."""


class TwinProcess:
    """Physics that follows a clock. Every published stamp is of the clock.

    With a delay of the feedback (`twin.delays`) that block is published so much later, and stamped as published. With `twin.kortex`
    only what comes over the Kortex protocol moves the arm. Raises PortTakenError where its ports are taken.
    """

    def __init__(self, config: Config, runtime: Path, seed: int, clock: Clock) -> None:
        self.robot = Robot(config) if config.twin.kortex else None
        self.twin = Twin(config, seed, self.robot.drive) if self.robot else Twin(config, seed)
        self.server = _listening(self.robot, config, clock) if self.robot else None
        self.episode, self.skipped = 1, 0
        self._clock, self._speed = clock, config.twin.speed
        self._reached = clock.now()
        self._task_due = self._reached
        self._connection = round(config.deadlines.connection * SECOND)
        self._inbox = Inbox(runtime, self._connection)
        self._feedback = Block.create(runtime / "arm_feedback", blocks.FEEDBACK)
        self._delay = round(config.twin.delays.get("feedback", 0.0) * SECOND)
        self._late: deque[tuple[int, ArmState, Measured | None]] = deque()
        self._state = Block.create(runtime / "twin_state", blocks.STATE)
        self._publish_state()
        self._task = Block.create(runtime / "twin_task", blocks.TASK)  # whoever finds it finds a state as well
        self._publish_task()

    def cycle(self) -> None:
        """Take what came in, step the physics up to now, publish."""
        now = self._clock.now()
        self._take(now)
        late = max(0, now - self._reached - CATCH_UP)
        self.skipped += late
        self._reached += late
        if late > self._connection:  # the arm's own clock went on
            self.twin.stop(self.twin.now)
        before = self.twin.now
        self.twin.advance(before + int((now - self._reached) * self._speed))
        self._reached += int((self.twin.now - before) / self._speed)
        self._publish()

    def close(self) -> None:
        """End every connection and take the blocks away."""
        if self.server is not None:
            self.server.close()
        self._inbox.close()
        for block in (self._feedback, self._state, self._task):
            block.close(unlink=True)

    def _take(self, now: int) -> None:
        seed = self._inbox.reset(now)
        if seed is not None:
            self.twin.reset(tasks.sample(seed), self.twin.now)
            self.episode += 1
            self._task_due = self._reached
        command = self._inbox.command(now)
        if self.robot is not None:
            self.robot.apply(self.twin, now)
        elif command is not None:
            self.twin.command(self.twin.now, command["twist"], float(command["gripper"]))
        if self._inbox.stopped(now):
            self.twin.stop(self.twin.now)

    def _publish(self) -> None:
        self._publish_state()
        self._publish_task()

    def _publish_state(self) -> None:
        twin, stamp = self.twin, self._reached
        self._report(twin, stamp)
        self._state.write(blocks.pack_state(stamp, twin.now, self.episode, twin.data.qpos, twin.episode.look()))

    def _publish_task(self) -> None:
        if self._reached >= self._task_due:
            self._task_due = self._reached + TASK_PERIOD
            self._task.write(self._task_record(self._reached))

    def _report(self, twin: Twin, stamp: int) -> None:
        """Publish the newest feedback whose moment has come; without a delay that is what the twin does now."""
        measured = measure(twin, self.robot.taken) if self.robot else None
        state = measured.state if measured else twin.state()
        self._late.append((stamp + self._delay, state, measured))
        due = None
        while self._late and self._late[0][0] <= stamp:
            due = self._late.popleft()
        if due is None:
            return
        self._feedback.write(blocks.pack_feedback(due[1], due[0]))
        if self.robot is not None and due[2] is not None:
            self.robot.publish(due[2], due[0])

    def _task_record(self, stamp: int) -> blocks.Record:
        episode, outcome = self.twin.episode, tasks.judge(self.twin, self.twin.episode)
        return blocks.record(
            blocks.TASK,
            stamp=stamp,
            episode=self.episode,
            seed=episode.seed,
            target=episode.target,
            heights=outcome.heights,
            success=outcome.success,
            wrong_object=outcome.wrong_object,
            instruction=episode.instruction.encode(),
            skipped=self.skipped,
            answered=self._inbox.answered,
        )


def _listening(robot: Robot, config: Config, clock: Clock) -> KortexServer:
    server = KortexServer(robot, config.arm.address, config.arm.port, config.arm.feedback_port, clock)
    server.start()
    return server


def be_on_time(config: Config) -> None:
    """As a Gen3 on the network, run ahead of what else loads this machine: the arm's controller is a computer of its own.

    SCHED_FIFO for this thread and those that it starts, just behind the servo, where that is permitted and wanted (servo.priority).
    """
    if config.twin.kortex and config.servo.priority:
        run_ahead(config.servo.priority - 10)


def run(process: TwinProcess, clock: Clock, stopping: Stopping) -> None:
    """Turn at every CYCLE until `stopping`."""
    due = clock.now()
    while not stopping.asked:
        process.cycle()
        due = max(due + CYCLE, clock.now() - CATCH_UP)
        clock.sleep_until(due)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the twin until SIGINT or SIGTERM. Returns the exit status."""
    options = _options(argv)
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    try:
        config = load(*(options.config or ["twin"]), overrides=options.set)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    clock, stopping = MonotonicClock(), Stopping()
    runtime = options.runtime or folder(config)
    sys.setswitchinterval(SWITCH)
    be_on_time(config)
    try:
        process = TwinProcess(config, runtime, config.twin.seed if options.seed is None else options.seed, clock)
    except PortTakenError as error:
        print(error, file=sys.stderr)
        return 2
    log.info(
        "physics runs in %s, seed %d: %s",
        runtime,
        process.twin.episode.seed,
        process.twin.episode.instruction,
    )
    try:
        run(process, clock, stopping)
    finally:
        process.close()
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("twin_node", description="The simulated robot: physics in real time.")
    parser.add_argument(
        "--runtime", type=Path, help="folder of the shared blocks; default: of this user and ROS domain"
    )
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="configuration, later ones win")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="one setting, as limits.speed=0.1"
    )
    parser.add_argument("--seed", type=int, help="of the first episode; default: twin.seed")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
