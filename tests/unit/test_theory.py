"""The table of theory: well-formed, cited, and right by facts that nobody disputes."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from affectscope.errors import ColumnError, LabelError
from affectscope.theory import SOURCES, prediction_matrix, predictions, table
from affectscope.vocabulary import APPRAISAL_NAMES, EMOTIONS

DOCUMENT = Path(__file__).parents[2] / "docs" / "theory.md"

SIGNS = {1: "+", -1: "-", 0: ""}


def rows() -> list[dict[str, str]]:
    """The file as it is, without the code that reads it."""
    text = resources.files("affectscope.theory").joinpath("predictions.csv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_rows_are_well_formed():
    found = rows()
    assert len(found) > 100
    for row in found:
        assert set(row) == {"appraisal", "emotion", "direction", "source", "note"}
        assert row["appraisal"] in APPRAISAL_NAMES
        assert row["emotion"] in EMOTIONS
        assert row["direction"] in ("1", "-1")
        assert row["note"].strip()


def test_no_source_speaks_twice_of_one_cell():
    keys = [(row["appraisal"], row["emotion"], row["source"]) for row in rows()]
    assert len(keys) == len(set(keys))


def test_sources_agree():
    directions: dict[tuple[str, str], set[str]] = {}
    for row in rows():
        directions.setdefault((row["appraisal"], row["emotion"]), set()).add(row["direction"])
    assert [cell for cell, found in directions.items() if len(found) > 1] == []


def test_every_source_is_listed_and_used():
    assert {row["source"] for row in rows()} == set(SOURCES)
    for reference in SOURCES.values():
        assert re.search(r"\((19|20)\d\d\)", reference)
    written = [re.search(r"doi (\S+)$", reference) for reference in SOURCES.values()]
    assert all(match is None or re.fullmatch(r"10\.\d{4,5}/\S+", match[1]) for match in written)


def test_one_prediction_for_each_cell_with_all_its_sources():
    cells = [(each.appraisal, each.emotion) for each in predictions()]
    assert len(cells) == len(set(cells))
    said = {(p.appraisal, p.emotion, source) for p in predictions() for source in p.sources}
    assert said == {(row["appraisal"], row["emotion"], row["source"]) for row in rows()}


def test_every_appraisal_says_something_and_tells_emotions_apart():
    matrix = prediction_matrix(APPRAISAL_NAMES, EMOTIONS)
    assert (np.abs(matrix).sum(axis=1) >= 2).all()
    patterns = {tuple(column) for column in matrix.T}
    assert len(patterns) == len(EMOTIONS)


@pytest.mark.parametrize(
    ("appraisal", "emotion", "direction"),
    [
        ("pleasantness", "joy", 1),
        ("pleasantness", "sadness", -1),
        ("unpleasantness", "joy", -1),
        ("unpleasantness", "disgust", 1),
        ("goal_support", "relief", 1),
        ("goal_support", "anger", -1),
        ("other_responsblt", "anger", 1),
        ("other_responsblt", "guilt", -1),
        ("self_responsblt", "guilt", 1),
        ("self_responsblt", "pride", 1),
        ("self_responsblt", "shame", 1),
        ("self_responsblt", "anger", -1),
        ("predict_conseq", "fear", -1),
        ("predict_event", "surprise", -1),
        ("suddenness", "surprise", 1),
        ("familiarity", "boredom", 1),
        ("attention", "boredom", -1),
        ("effort", "boredom", -1),
        ("urgency", "fear", 1),
        ("chance_control", "sadness", 1),
        ("chance_control", "anger", -1),
        ("self_control", "fear", -1),
        ("standards", "guilt", 1),
        ("standards", "pride", -1),
        ("goal_relevance", "neutral", -1),
        # Disputed between sources: no prediction.
        ("pleasantness", "surprise", 0),
        ("self_control", "anger", 0),
        ("self_control", "shame", 0),
        ("predict_conseq", "sadness", 0),
        ("goal_support", "guilt", 0),
    ],
)
def test_facts_of_the_textbook(appraisal, emotion, direction):
    assert prediction_matrix([appraisal], [emotion]).tolist() == [[direction]]


def test_twin_appraisals_do_not_contradict_each_other():
    """Valence is one scale in the sources, with two ends here; so are causing and controlling."""
    good, bad = prediction_matrix(["pleasantness", "unpleasantness"], EMOTIONS).astype(int)
    assert (good * bad <= 0).all()
    for agent in ("self", "other"):
        cause, control = prediction_matrix([f"{agent}_responsblt", f"{agent}_control"], EMOTIONS)
        assert (cause.astype(int) * control >= 0).all()


def test_the_matrix_follows_the_order_asked_for():
    whole = prediction_matrix(APPRAISAL_NAMES, EMOTIONS)
    assert whole.shape == (21, 13)
    assert whole.dtype == np.int8
    assert np.count_nonzero(whole) == len(predictions())
    turned = prediction_matrix(APPRAISAL_NAMES[::-1], EMOTIONS[3:0:-1])
    np.testing.assert_array_equal(turned, whole[::-1, 3:0:-1])
    assert prediction_matrix([], EMOTIONS).shape == (0, 13)
    assert prediction_matrix(APPRAISAL_NAMES, []).shape == (21, 0)


@pytest.mark.parametrize(
    ("appraisals", "emotions", "error"),
    [(["valence"], ["joy"], ColumnError), (["pleasantness"], ["happiness"], LabelError)],
)
def test_unknown_names_are_refused(appraisals, emotions, error):
    with pytest.raises(error, match="expected: one of") as caught:
        prediction_matrix(appraisals, emotions)
    assert caught.value.remedy


def test_a_file_that_contradicts_itself_is_not_read():
    for_it = table._Reading(1, "smith1985", "certainty")
    against = table._Reading(-1, "roseman1996", "probability")
    with pytest.raises(AssertionError, match="joy"):
        table._merge("predict_conseq", "joy", [for_it, against])


def test_it_reads_without_a_model_library():
    program = (
        "import sys; from affectscope.theory import predictions; predictions();"
        "print('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == "False"


def markdown_table() -> list[str]:
    """The table of ``docs/theory.md``, made from the data."""
    matrix = prediction_matrix(APPRAISAL_NAMES, EMOTIONS)
    head = ["| appraisal | " + " | ".join(EMOTIONS) + " |", "|---|" + ":-:|" * len(EMOTIONS)]
    return head + [
        f"| `{name}` | " + " | ".join(SIGNS[int(cell)] for cell in line) + " |"
        for name, line in zip(APPRAISAL_NAMES, matrix, strict=True)
    ]


def test_the_document_has_this_table_and_these_sources():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert "\n".join(markdown_table()) in text
    counts: dict[str, int] = dict.fromkeys(SOURCES, 0)
    for row in rows():
        counts[row["source"]] += 1
    for key, reference in SOURCES.items():
        assert f"| `{key}` | {counts[key]} | {reference} |" in text
    assert f"{len(predictions())} of the 273 cells" in text
    risers = sum(each.direction == 1 for each in predictions())
    assert f"{risers} rise and {len(predictions()) - risers} fall" in text


if __name__ == "__main__":
    print("\n".join(markdown_table()))
