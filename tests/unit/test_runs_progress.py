"""How far, and how long still."""

import io

import pytest

from affectscope.runs.pace import Pace, duration
from affectscope.runs.progress import RunProgress


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_time_left_is_cost_left_by_the_rate_of_what_was_computed():
    pace = Pace({"clean": 100.0, "infer": 300.0})
    assert pace.seconds_left is None
    pace.unit("clean", 50.0, 5.0)  # 10 a second
    assert pace.share == pytest.approx(50 / 400)
    assert pace.seconds_left == pytest.approx(350 / 10)


def test_units_found_on_disk_count_as_done_and_say_nothing_of_the_rate():
    pace = Pace({"clean": 100.0})
    pace.unit("clean", 90.0, None)
    assert pace.share == pytest.approx(0.9)
    assert pace.seconds_left is None
    pace.unit("clean", 5.0, 10.0)
    assert pace.seconds_left == pytest.approx(5 / 0.5)


def test_a_stage_is_paced_by_itself_and_those_to_come_by_all():
    pace = Pace({"clean": 100.0, "probe": 100.0, "patch": 100.0})
    pace.unit("clean", 100.0, 10.0)
    pace.finish("clean")
    pace.unit("probe", 50.0, 50.0)
    overall = 150 / 60
    assert pace.seconds_left == pytest.approx(50 / 1.0 + 100 / overall)


def test_the_cost_known_later_takes_the_place_of_the_expected_one():
    pace = Pace({"probe": 10.0})
    pace.recost("probe", 40.0)
    pace.unit("probe", 10.0, 1.0)
    assert pace.share == pytest.approx(0.25)
    assert pace.seconds_left == pytest.approx(3.0)


def test_a_finished_stage_has_nothing_left_whatever_it_was_expected_to_cost():
    pace = Pace({"probe": 10.0, "patch": 10.0})
    pace.unit("probe", 2.0, 1.0)
    pace.finish("probe")
    assert pace.share == pytest.approx(0.5)
    assert pace.stages["probe"].share == 1.0


def test_more_done_than_expected_is_not_more_than_all():
    pace = Pace({"probe": 10.0})
    pace.unit("probe", 20.0, 1.0)
    assert pace.share == 1.0
    assert pace.seconds_left == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (40, "40 s"), (59.6, "1 min"), (270, "4 min"), (4800, "1 h 20 min")],
)
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text


def test_off_a_terminal_lines_come_at_start_and_end_and_every_ten_seconds():
    stream, clock = io.StringIO(), Clock()
    with RunProgress(stream, clock) as progress:
        progress.note("loading")
        progress.plan({"clean": 100.0, "infer": 100.0})
        with progress.stage("clean", 100.0):
            for _ in range(100):
                clock.now += 0.3
                progress.unit("clean", 1.0, 0.3)
        with progress.stage("infer", 100.0):
            clock.now += 5
            progress.unit("infer", 100.0, None)
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["loading", "clean passes ..."]
    assert lines[2] == "clean passes 34%, the whole run 17%, about 50 s left"
    assert lines[3] == "clean passes 68%, the whole run 34%, about 40 s left"
    assert lines[4] == "clean passes done in 30 s"
    assert lines[5:] == ["infer ...", "infer done in 5 s"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_there_are_bars_for_stage_and_run():
    stream = Terminal()
    with RunProgress(stream) as progress:
        progress.plan({"infer": 4.0})
        with progress.stage("infer", 4.0):
            progress.unit("infer", 1.0, 30.0)
            progress._view._bars.refresh()
        progress.note("all [done]")
    text = stream.getvalue()
    assert "infer" in text
    assert "the whole run" in text
    assert "25 %" in text
    assert "about 2 min left" in text
    assert "all [done]" in text


def test_a_failed_stage_is_not_said_to_be_done():
    stream = io.StringIO()
    progress = RunProgress(stream)
    with pytest.raises(ValueError, match="x"), progress, progress.stage("infer", 1.0):
        raise ValueError("x")
    assert "done" not in stream.getvalue()


def test_a_stage_of_unknown_length_has_no_percentage():
    stream = Terminal()
    with RunProgress(stream) as progress, progress.stage("report"):
        progress._view._bars.refresh()
    assert "report" in stream.getvalue()
    assert "%" not in stream.getvalue()
