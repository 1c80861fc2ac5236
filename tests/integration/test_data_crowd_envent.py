"""The published crowd-enVENT file holds what its authors and the paper say it does."""

import csv
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import CountVectorizer

from affectscope.data import check_corpus, grouped_folds, load_corpus
from affectscope.data.duplicates import text_key
from affectscope.vocabulary import APPRAISAL_NAMES, EMOTIONS

pytestmark = pytest.mark.integration

SHARED = Path(os.environ.get("AFFECTSCOPE_SHARED") or Path(__file__).parents[3] / "shared")
FILE = SHARED / "data/crowd-envent/enVent_gen_Data.csv"


@pytest.fixture(scope="module")
def corpus():
    if not FILE.exists():
        pytest.skip(f"crowd-enVENT is not at {FILE}")
    return load_corpus(FILE)


@pytest.fixture(scope="module")
def rows(corpus):
    """The file as the standard library reads it."""
    with FILE.open(encoding="iso-8859-1", newline="") as file:
        return list(csv.DictReader(file))


def test_published_counts(corpus):
    assert len(corpus) == 6600
    expected = dict.fromkeys(EMOTIONS, 550) | {"guilt": 275, "shame": 275}
    assert Counter(corpus.emotions) == expected
    assert corpus.labels == EMOTIONS
    assert corpus.encoding == "iso-8859-1"
    assert corpus.dropped == ()
    assert corpus.sha256 == "941683c991923cdecf2953c4c945227bbbd3678b96139564c7ed68cb432c5a2c"


def test_check_reports_the_published_repeats(corpus):
    check = check_corpus(corpus)
    assert check.duplicates.identical == 36
    assert check.duplicates.alike >= 36
    assert check.rows == check.items == 6600


def test_texts_are_those_of_the_file(corpus, rows):
    assert corpus.texts == [row["hidden_emo_text"] for row in rows]
    assert corpus.items["item_id"].tolist() == [row["text_id"] for row in rows]


def test_ratings_are_all_within_range(corpus):
    ratings = corpus.items[list(APPRAISAL_NAMES)].to_numpy()
    assert ratings.shape == (6600, 21)
    assert set(np.unique(ratings)) == {1.0, 2.0, 3.0, 4.0, 5.0}


def near_duplicate_pairs(texts):
    """All pairs that share 0.7 of their runs of five characters, by a product of matrices."""
    keys = [text_key(text) for text in texts]
    runs = CountVectorizer(analyzer="char", ngram_range=(5, 5), binary=True, lowercase=False)
    present = runs.fit_transform(keys).astype(np.float32)
    sizes = np.asarray(present.sum(axis=1)).ravel()
    found = []
    for start in range(0, len(keys), 500):
        common = (present[start : start + 500] @ present.T).tocoo()
        one, other = common.row + start, common.col
        overlap = common.data / (sizes[one] + sizes[other] - common.data)
        found.append(np.column_stack([one, other])[(overlap >= 0.7 - 1e-6) & (one < other)])
    return np.concatenate(found)


def test_groups_are_the_authors_joined_by_texts_that_are_nearly_the_same(corpus, rows):
    _, author = np.unique([row["prolific_id"] for row in rows], return_inverse=True)
    _, text = np.unique([text_key(row["hidden_emo_text"]) for row in rows], return_inverse=True)
    n_authors = author.max() + 1
    assert n_authors == 2379
    n_nodes = n_authors + text.max() + 1
    alike = near_duplicate_pairs([row["hidden_emo_text"] for row in rows])
    assert len(alike) > 20
    rows_from = np.concatenate([author, author[alike[:, 0]]])
    to = np.concatenate([n_authors + text, author[alike[:, 1]]])
    edges = (np.ones(len(to)), (rows_from, to))
    n_groups, component = connected_components(coo_matrix(edges, shape=(n_nodes, n_nodes)))
    assert len(set(corpus.groups)) == n_groups < 2379
    assert len(set(zip(corpus.groups, component[author].tolist(), strict=True))) == n_groups


def test_nothing_personal_is_left(corpus, rows):
    assert list(corpus.items.columns) == ["item_id", "text", "emotion", "group", *APPRAISAL_NAMES]
    assert not {row["prolific_id"] for row in rows} & set(corpus.groups)


def test_folds_are_even_and_share_no_author_and_no_text(corpus, rows):
    folds = grouped_folds(corpus.emotions, corpus.groups, n_folds=5, seed=0)
    emotions = np.array(corpus.emotions)
    for emotion in EMOTIONS:
        counts = np.bincount(folds[emotions == emotion], minlength=5)
        assert counts.max() - counts.min() <= 2
    for values in ([row["prolific_id"] for row in rows], [text_key(t) for t in corpus.texts]):
        assert len(set(zip(values, folds.tolist(), strict=True))) == len(set(values))


def test_sample_of_700_is_in_proportion(corpus):
    counts = Counter(corpus.sample(700, seed=0).emotions)
    assert {counts["guilt"], counts["shame"]} == {29}  # 700 * 275 / 6600 = 29.17
    assert {n for e, n in counts.items() if e not in ("guilt", "shame")} == {58, 59}  # 58.33
