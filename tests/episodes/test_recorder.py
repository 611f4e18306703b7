"""The recorder's state machine: whatever is pressed and whatever happens, takes open and close as they must."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.clock import SECOND
from vla_ros.episodes.recorder import (
    Begin,
    Commit,
    Discard,
    End,
    Event,
    Keep,
    Outcome,
    Park,
    Phase,
    Settings,
    State,
    observe,
    step,
)

TASKS = ("pick up the red cube", "push the blue cube")
SETTINGS = Settings(longest=20 * SECOND)
LOOSE = Settings(park=False)
looks = st.tuples(st.sampled_from(["", "", "camera wrist is silent"]), st.booleans())
happenings = st.lists(st.one_of(st.sampled_from(list(Event)), looks), max_size=60)


def happen(state, what, now, settings=SETTINGS) -> Outcome:
    return step(state, what, now, settings) if isinstance(what, Event) else observe(state, *what, now, settings)


def play(*what, state=None, settings=SETTINGS, seconds=1):
    """The last state and all effects of events, a second apart; a text is an obstacle, None a look at a parked arm."""
    state, effects = state or observe(State(TASKS), "", True, 0, settings).state, []
    for k, one in enumerate(what, start=1):
        one = ("", True) if one is None else (one, True) if isinstance(one, str) else one
        outcome = happen(state, one, k * seconds * SECOND, settings)
        state, effects = outcome.state, [*effects, *outcome.effects]
    return state, effects


@given(happenings, st.booleans())
def test_takes_open_and_close_in_order_whatever_is_pressed(sequence, park):
    """Begin, End, then Commit or Discard; never two at once, never one without the other; the counts are those of the effects."""
    settings = Settings(longest=20 * SECOND, park=park)
    state, opened, ended, commits, discards = State(TASKS), False, False, 0, 0
    for k, what in enumerate(sequence):
        outcome = happen(state, what, k * SECOND, settings)
        for effect in outcome.effects:
            if isinstance(effect, Begin | Keep):
                assert not opened
                opened, ended = True, isinstance(effect, Keep)
            elif isinstance(effect, End):
                assert opened
                assert not ended
                ended = True
            elif isinstance(effect, Commit | Discard):
                assert opened
                assert ended
                opened = ended = False
                commits, discards = commits + isinstance(effect, Commit), discards + isinstance(effect, Discard)
            else:
                assert park or what is Event.PARK
                assert not opened
        if not outcome.taken:
            assert outcome.state == state
            assert outcome.effects == ()
            assert outcome.text
        state = outcome.state
        assert opened == (state.phase in (Phase.RECORDING, Phase.DECIDING))
        assert ended == (state.phase is Phase.DECIDING)
    assert (state.saved, state.discarded) == (commits, discards)


@given(happenings)
def test_nothing_that_is_saved_from_memory_was_recorded_before(sequence):
    state, covered = State(TASKS), 0
    for k, what in enumerate(sequence):
        outcome = happen(state, what, k * SECOND)
        for effect in outcome.effects:
            if isinstance(effect, Keep):
                assert effect.since >= covered
                assert k * SECOND - effect.since <= SETTINGS.memory
            if isinstance(effect, Keep | End):
                covered = k * SECOND
        state = outcome.state


@given(happenings)
def test_from_anywhere_the_way_back_is_short(sequence):
    state, _ = play(*sequence)
    state, _ = play(Event.DISCARD, None, state=state)
    assert state.phase in (Phase.ARMED, Phase.RECORDING)


def test_an_episode_from_start_to_success():
    state, effects = play(Event.START, Event.STOP, Event.SUCCESS)
    assert effects == [Begin(TASKS[0]), End(), Commit(True), Park()]
    assert (state.phase, state.saved, state.instruction, state.parking) == (Phase.ARMED, 1, TASKS[1], True)


def test_success_and_failure_end_a_running_episode_too():
    assert play(Event.TOGGLE, Event.FAILURE)[1] == [Begin(TASKS[0]), End(), Commit(False), Park()]


def test_one_button_starts_and_stops():
    state, effects = play(Event.TOGGLE, Event.TOGGLE)
    assert effects == [Begin(TASKS[0]), End()]
    assert state.phase is Phase.DECIDING


def test_nothing_starts_before_the_arm_is_parked():
    state, _ = play(Event.START, Event.SUCCESS)
    refused = step(state, Event.START, 5 * SECOND, SETTINGS)
    assert not refused.taken
    assert "parking" in refused.text
    state = observe(state, "", False, 6 * SECOND, SETTINGS).state
    assert state.parking
    assert play(None, Event.START, state=state)[0].phase is Phase.RECORDING


def test_what_is_recorded_again_begins_by_itself_under_the_same_task_once_the_arm_is_parked():
    state, effects = play(Event.START, Event.RERECORD)
    assert effects == [Begin(TASKS[0]), End(), Discard(), Park()]
    assert observe(state, "", False, 9 * SECOND, SETTINGS).effects == ()
    assert observe(state, "", True, 9 * SECOND, SETTINGS).effects == (Begin(TASKS[0]),)
    state, effects = play(Event.DISCARD, None, state=state)
    assert (effects, state.phase) == ([], Phase.ARMED)


def test_tasks_go_round_and_can_be_skipped():
    state, _ = play(Event.NEXT)
    assert state.instruction == TASKS[1]
    assert play(Event.NEXT, state=state)[0].instruction == TASKS[0]


def test_the_last_seconds_are_kept_and_never_twice():
    state, effects = play(*[None] * 40, Event.SAVE)
    assert effects == [Keep(TASKS[0], 11 * SECOND)]
    assert state.phase is Phase.DECIDING
    assert state.free == 41 * SECOND
    state = step(state, Event.SUCCESS, 42 * SECOND, LOOSE).state
    assert step(state, Event.SAVE, 50 * SECOND, LOOSE).effects == (Keep(TASKS[1], 42 * SECOND),)


def test_a_camera_that_falls_silent_ends_the_take_and_it_is_no_success():
    state, effects = play(Event.START, "camera wrist is silent")
    assert effects == [Begin(TASKS[0]), End()]
    refused = step(state, Event.SUCCESS, 9 * SECOND, SETTINGS)
    assert not refused.taken
    assert "camera wrist is silent" in refused.text
    assert play(Event.FAILURE, state=state)[1] == [Commit(False), Park()]


@pytest.mark.parametrize("word", [Event.DISCARD, Event.FAILURE])
def test_behind_a_spoilt_take_nothing_starts_before_it_is_known_that_the_ground_is_good_again(word):
    state, _ = play(Event.START, "camera wrist is silent", word)
    refused = step(state, Event.START, 9 * SECOND, LOOSE)
    assert not refused.taken
    assert refused.text == "camera wrist is silent"
    assert play(None, Event.START, state=state)[0].phase is Phase.RECORDING


def test_nothing_starts_while_something_is_in_the_way_and_it_is_named():
    state, _ = play("camera static gives 15 frames a second")
    refused = step(state, Event.START, 9 * SECOND, SETTINGS)
    assert state.phase is Phase.IDLE
    assert refused.text == "camera static gives 15 frames a second"
    assert play(None, state=state)[0].phase is Phase.ARMED


@pytest.mark.parametrize("tasks", [(), ("",)])
def test_without_an_instruction_nothing_is_armed(tasks):
    state = observe(State(tasks), "", True, 0, SETTINGS).state
    assert state.phase is Phase.IDLE
    assert not step(state, Event.START, 1, SETTINGS).taken


def test_an_episode_that_is_too_long_ends_by_itself():
    state, effects = play(Event.START, *[None] * 19)
    assert state.phase is Phase.RECORDING
    state, effects = play(*[None] * 30, state=state)
    assert effects == [End()]
    assert state.phase is Phase.DECIDING
