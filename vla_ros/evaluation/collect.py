"""Recording of episodes in the twin: the expert's demonstrations, and a policy's own episodes with the expert's labels (DAgger).

Each worker process records a shard of its own; the shards are merged into one LeRobotDataset at the end. What a worker commits
survives: a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vla_ros.clock import SECOND
from vla_ros.config import Config, load
from vla_ros.episodes import layout
from vla_ros.episodes.layout import DatasetError, Feature
from vla_ros.episodes.lerobot import DatasetWriter
from vla_ros.episodes.merge import merge
from vla_ros.episodes.reader import DatasetReader
from vla_ros.evaluation.expert_policy import CHUNK, ExpertPolicy
from vla_ros.evaluation.rollout import STRIDE, Result, Step, Studio, run
from vla_ros.policy.policy import Policy, load_policy
from vla_ros.policy.preprocess import robot_state
from vla_ros.twin.tasks import Episode, sample
from vla_ros.values import ActionChunk, Observation

FPS = SECOND // STRIDE
_KEPT = "what was committed is kept; mend the cause and run again to go on"
ACTION_NAMES = ("dx", "dy", "dz", "droll", "dpitch", "dyaw", "gripper")
STATE_NAMES = ("x", "y", "z", "rx", "ry", "rz", "gripper", "gripper_command")


@dataclass(frozen=True)
class Plan:
    """What to record. `policy`: a bundle that drives while the expert labels; empty: the expert drives, disturbed by 0 … `noise`.

    With a policy, the expert takes the wheel after `takeover` s in a share `mixed` of the episodes, so that the end of a task is
    seen as well.
    """

    output: Path
    seeds: range
    noise: float = 0.12
    policy: str = ""
    mixed: float = 0.3
    takeover: float = 2.0
    time_limit: float = 10.0
    processes: int = 2
    config: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


def features(config: Config) -> dict[str, Feature]:
    """Columns of a dataset of the twin."""
    videos = {}
    for name, camera in config.cameras.items():
        height, width = camera.roi[3] // camera.binning, camera.roi[2] // camera.binning
        videos[f"observation.images.{name}"] = Feature("video", (height, width, 3), ("height", "width", "channels"))
    return videos | {
        "observation.state": Feature("float32", (8,), STATE_NAMES),
        "action": Feature("float32", (7,), ACTION_NAMES),
        "action_chunk": Feature("float32", (CHUNK * 7,)),
        "observation.stamp_ns": Feature("int64", (1,)),
        "expert_drives": Feature("bool", (1,)),
        "seed": Feature("int64", (1,)),
    }


class Driver:
    """Expert and policy at one wheel: the expert labels every look, and who drives is decided per look."""

    def __init__(self, expert: ExpertPolicy, policy: Policy | None, takeover: float | None) -> None:
        self._expert, self._policy, self._takeover = expert, policy, takeover
        self._start = 0
        self.expert_drives = True

    def reset(self) -> None:
        """A new episode."""
        self._start = 0
        self._expert.reset()
        if self._policy is not None:
            self._policy.reset()

    def set_instruction(self, text: str) -> None:
        """Hand the sentence on."""
        if self._policy is not None:
            self._policy.set_instruction(text)

    def act(self, observation: Observation, gripper_command: float) -> ActionChunk | None:
        """The chunk of whoever drives; the expert's label is fresh either way."""
        self._start = self._start or observation.stamp
        planned = self._expert.act(observation, gripper_command)
        if self._policy is None:
            return planned
        proposed = self._policy.act(observation, gripper_command)
        elapsed = (observation.stamp - self._start) / SECOND
        self.expert_drives = self._takeover is not None and elapsed >= self._takeover
        return planned if self.expert_drives else proposed


def collect(plan: Plan) -> dict[str, int]:
    """Record every episode of the plan into `plan.output`.

    Returns counts: episodes, frames, and of those recorded in this run (`judged`) the successes.
    Raises DatasetError where the output holds something else, ConfigError, BundleError. Goes on with the shards of an interrupted run.
    """
    config = load(*plan.config, overrides=plan.overrides)
    if plan.policy:
        load_policy(plan.policy, config)
    if plan.output.exists() and not plan.output.is_dir():
        raise DatasetError(f"{plan.output} is a file: give the folder of a new dataset")
    if (plan.output / layout.INFO).exists() and DatasetReader(plan.output).episodes:
        raise DatasetError(f"{plan.output} already holds a dataset: give another --output, or delete it")
    shards = [plan.output.with_name(f"{plan.output.name}.shard{i}") for i in range(plan.processes)]
    context = multiprocessing.get_context("spawn")
    queue: Any = context.Queue()
    workers = [
        context.Process(target=_work, args=(plan, shard, plan.seeds[i :: plan.processes], queue), daemon=True)
        for i, shard in enumerate(shards)
    ]
    for worker in workers:
        worker.start()
    counts = _progress(queue, workers, len(plan.seeds), "policy, labelled" if plan.policy else "expert")
    merge(shards, plan.output)
    for shard in shards:
        shutil.rmtree(shard)
    return counts


def _progress(queue: Any, workers: Sequence[Any], total: int, label: str) -> dict[str, int]:
    """Count what the workers report until all is recorded. Raises DatasetError when one could not go on."""
    counts = {"episodes": 0, "frames": 0, "judged": 0, "successes": 0}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task(f"recording ({label})", total=total)
        while counts["episodes"] < total:
            try:
                success, frames, trouble = queue.get(timeout=1.0)
            except Empty:
                if any(worker.exitcode not in (None, 0) for worker in workers):
                    raise DatasetError(f"a recording process died: {_KEPT}") from None
                continue
            if trouble:
                raise DatasetError(f"{trouble}: {_KEPT}")
            counts["episodes"] += 1
            counts["frames"] += frames
            if success is not None:
                counts["judged"] += 1
                counts["successes"] += success
            rate = f"{counts['successes']}/{counts['judged']} succeeded"
            progress.update(bar, advance=1, description=f"recording ({label}), {rate}")
    for worker in workers:
        worker.join()
    return counts


def _work(plan: Plan, shard: Path, seeds: range, queue: Any) -> None:
    try:
        _record_all(plan, shard, seeds, queue)
    except (OSError, DatasetError) as error:
        queue.put((None, 0, f"{shard}: {error}"))


def _record_all(plan: Plan, shard: Path, seeds: range, queue: Any) -> None:
    config = load(*plan.config, overrides=plan.overrides)
    studio = Studio(config)
    policy = load_policy(plan.policy, config) if plan.policy else None
    with DatasetWriter(shard, features(config), int(FPS), config.robot) as writer:
        done = writer.episodes
        for frames in _recorded(shard, done):
            queue.put((None, frames, ""))
        for seed in seeds[done:]:
            result, frames = record(studio, writer, sample(seed), plan, policy)
            queue.put((int(result.outcome.success), frames, ""))


def _recorded(shard: Path, done: int) -> list[int]:
    """Frames of the episodes that an interrupted run has left."""
    return [episode.length for episode in DatasetReader(shard).episodes] if done else []


def record(
    studio: Studio, writer: DatasetWriter, episode: Episode, plan: Plan, policy: Policy | None
) -> tuple[Result, int]:
    """Play one episode and commit it. A demonstration that failed is committed too: its labels are right all the same."""
    random = np.random.default_rng(episode.seed + 1)
    noise = 0.0 if policy else plan.noise * float(random.random())
    expert = ExpertPolicy(studio.twin, noise, episode.seed)
    expert.aim(episode.target)
    driver = Driver(expert, policy, plan.takeover if policy and random.random() < plan.mixed else None)
    driver.set_instruction(episode.instruction)
    writer.begin(episode.instruction)
    frames = 0

    def keep(step: Step) -> None:
        nonlocal frames
        frames += 1
        images = {f"observation.images.{n}": f.image for n, f in step.observation.frames.items()}
        label = expert.label.astype(np.float32)
        values = {
            "observation.state": robot_state(step.observation.arm, step.gripper_command),
            "action": label[0],
            "action_chunk": label.ravel(),
            "observation.stamp_ns": step.observation.stamp,
            "expert_drives": driver.expert_drives,
            "seed": episode.seed,
        }
        writer.add(images, values)

    result = run(studio, episode, driver, time_limit=plan.time_limit, on_step=keep)
    writer.commit()
    return result, frames
