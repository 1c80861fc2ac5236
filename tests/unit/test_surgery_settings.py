"""What a user may ask surgery to move and hold."""

from __future__ import annotations

import pytest

from affectscope.analyses.surgery_settings import Setting, compounds, parse_setting, singles
from affectscope.errors import UsageError

NAMES = ("pleasantness", "predict_event", "other_responsblt", "chance_control")


def test_moves_and_holds_are_read():
    setting = parse_setting(
        "pleasantness=-2, other_responsblt=+1.5", "predict_event,chance_control", NAMES
    )
    assert setting.moves == (("pleasantness", -2.0), ("other_responsblt", 1.5))
    assert setting.held(NAMES) == ("predict_event", "chance_control")
    assert setting.name == "pleasantness-2 other_responsblt+1.5, held: predict_event chance_control"


def test_all_others_are_held_when_none_is_named_and_none_when_empty():
    assert parse_setting("pleasantness=1", None, NAMES).held(NAMES) == NAMES[1:]
    assert parse_setting("pleasantness=1", "", NAMES).held(NAMES) == ()


@pytest.mark.parametrize(
    ("moves", "hold", "message"),
    [
        ("pleasantness", None, "'pleasantness' does not say"),
        ("pleasantness=", None, "NAME=NUMBER"),
        ("pleasantness=0", None, "a number other than 0"),
        ("pleasantness=1,pleasantness=2", None, "names, each once"),
        ("", None, "NAME=NUMBER"),
        ("plesantness=1", None, "names plesantness.*no ratings"),
        ("pleasantness=1", "valence", "names valence"),
        ("pleasantness=1", "pleasantness", "moves pleasantness and holds it"),
        ("pleasantness=1e9", None, "NAME=NUMBER"),
    ],
)
def test_anything_else_is_refused(moves, hold, message):
    with pytest.raises(UsageError, match=message):
        parse_setting(moves, hold, NAMES)


def test_each_appraisal_alone_goes_up_and_down():
    assert [one.name for one in singles(NAMES[:2])] == [
        "pleasantness+",
        "pleasantness-",
        "predict_event+",
        "predict_event-",
    ]


def test_the_papers_compounds_need_both_appraisals():
    assert [one.name for one in compounds(NAMES)] == [
        "pleasantness+ other_responsblt+",
        "pleasantness+ other_responsblt-",
        "pleasantness- other_responsblt+",
        "pleasantness- other_responsblt-",
    ]
    assert compounds(NAMES[:2]) == []


def test_names_tell_settings_apart():
    moved = (("pleasantness", 1.0),)
    assert len({Setting(moved, hold).name for hold in (None, (), ("predict_event",))}) == 3
