"""The human reference on crowd-enVENT, against the published targets and a count of its own."""

import csv
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import pearsonr

import affectscope as afs
from affectscope.vocabulary import APPRAISAL_NAMES

SHARED = Path(os.environ.get("AFFECTSCOPE_SHARED") or Path(__file__).parents[3] / "shared")
FOLDER = SHARED / "data/crowd-envent"
AUTHORS, READERS = FOLDER / "enVent_gen_Data.csv", FOLDER / "enVent_val_Data.csv"

TARGETS = {
    "human.reader_accuracy": 0.504,
    "human.plurality_accuracy": 0.578,
    "human.r2.pleasantness": 0.67,
    "human.r2.self_responsblt": 0.50,
    "human.r2.other_responsblt": 0.39,
    "human.r2.suddenness": 0.34,
    "human.r2.accept_conseq": 0.02,
}

needs_files = pytest.mark.skipif(
    not (AUTHORS.exists() and READERS.exists()), reason=f"crowd-enVENT is not in {FOLDER}"
)
pytestmark = [pytest.mark.integration, needs_files]


@pytest.fixture(scope="module")
def corpus():
    return afs.load_corpus(AUTHORS)


@pytest.fixture(scope="module")
def readers():
    return afs.load_readers(READERS)


@pytest.fixture(scope="module")
def reference(corpus, readers):
    return afs.human_reference(corpus, readers)


def read(path: Path) -> list[dict[str, str]]:
    """The file as the standard library reads it."""
    with path.open(encoding="iso-8859-1", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def by_text():
    """Each text's author's row and its five readers' rows."""
    author = {row["text_id"]: row for row in read(AUTHORS)}
    rows = defaultdict(list)
    for row in read(READERS):
        rows[row["text_id"]].append(row)
    return [(author[text], ratings) for text, ratings in rows.items()]


@pytest.mark.parametrize("name", TARGETS)
def test_the_targets_are_met(reference, name):
    estimate = reference.summary[name]
    assert estimate.value == pytest.approx(TARGETS[name], abs=0.01)
    assert estimate.low < estimate.value < estimate.high
    assert estimate.n == (6000 if name == "human.reader_accuracy" else 1200)


def test_accuracies_are_those_of_a_plain_count(reference, by_text):
    named, credit = 0, 0.0
    for author, ratings in by_text:
        votes = Counter(row["annotator_emotion"] for row in ratings)
        named += votes[author["emotion"]]
        most = [label for label, count in votes.items() if count == max(votes.values())]
        credit += (author["emotion"] in most) / len(most)
    assert reference.summary["human.reader_accuracy"].value == pytest.approx(named / 6000)
    assert reference.summary["human.plurality_accuracy"].value == pytest.approx(credit / 1200)


@pytest.mark.parametrize("name", APPRAISAL_NAMES)
def test_r2_is_that_of_scipy(reference, by_text, name):
    own = [float(author[name]) for author, _ in by_text]
    rated = np.array([[float(row[name]) for row in ratings] for _, ratings in by_text])
    of_mean, of_one = (
        reference.summary[f"human.r2.{name}"],
        reference.summary[f"human.reader_r2.{name}"],
    )
    assert of_mean.value == pytest.approx(pearsonr(own, rated.mean(axis=1))[0] ** 2)
    assert of_one.value == pytest.approx(pearsonr(np.repeat(own, 5), rated.ravel())[0] ** 2)


def test_confusion_is_that_of_a_plain_count(reference, by_text):
    counts = Counter(
        (author["emotion"], row["annotator_emotion"])
        for author, ratings in by_text
        for row in ratings
    )
    of_author = Counter()
    for (emotion, _), count in counts.items():
        of_author[emotion] += count
    cells = reference.table[reference.table["metric"] == "confusion"]
    found = cells.set_index(["emotion", "predicted"])["value"]
    assert len(found) == 169
    for emotion in of_author:
        for said in of_author:
            key = tuple(each.replace("no-emotion", "neutral") for each in (emotion, said))
            assert found[key] == pytest.approx(counts[emotion, said] / of_author[emotion])


def test_the_file_is_whole_and_nothing_personal_is_kept(readers):
    assert (len(readers.ratings), readers.n_items, readers.n_readers) == (6000, 1200, 5)
    assert readers.sha256 == "395c940e4f4189ff170201ea71c9120935c8ab01307a99b707f09e75b60973f0"
    kept = ["item_id", "author_emotion", "emotion", *APPRAISAL_NAMES]
    assert list(readers.ratings.columns) == kept


def test_no_model_library_is_loaded():
    program = (
        "import sys, affectscope as afs;"
        f"c, r = afs.load_corpus({str(AUTHORS)!r}), afs.load_readers({str(READERS)!r});"
        "print(afs.human_reference(c, r));"
        "print('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[-1] == "False"
    assert lines[0].split()[:2] == ["human.reader_accuracy", "0.504"]


def test_a_bag_of_words_grouped_by_author(corpus):
    """About 39 % from what happened; English function words add to it how a story is told."""
    words = afs.analyses.bag_of_words(corpus, function_words=False)
    assert words.accuracy.value == pytest.approx(0.39, abs=0.01)
    assert words.accuracy.n == 6600
    assert afs.analyses.bag_of_words(corpus).accuracy.value == pytest.approx(0.415, abs=0.01)
    groups = defaultdict(set)
    for group, fold in zip(corpus.groups, words.folds.tolist(), strict=True):
        groups[group].add(fold)
    assert all(len(folds) == 1 for folds in groups.values())


def test_the_two_files_the_wrong_way_round():
    with pytest.raises(afs.AffectscopeError, match="holds crowd-enVENT's texts"):
        afs.load_readers(AUTHORS)
    with pytest.raises(afs.AffectscopeError, match="ratings by readers"):
        afs.load_corpus(READERS)


def test_part_of_the_corpus_has_part_of_the_readers(corpus, readers):
    part = corpus.sample(600, seed=0)
    reference = afs.human_reference(part, readers)
    n = reference.summary["human.plurality_accuracy"].n
    known = set(readers.ratings["item_id"])
    assert n == sum(item in known for item in part.items["item_id"])
    assert 60 < n < 170  # 600 * 1200 / 6600 = 109
