"""What near-copies planted in a corpus do to out-of-fold scores, with and without grouping.

``python tests/planted_duplicates.py`` prints the table; a test holds it to what is promised: no
score that respects the groups rises.
"""

from __future__ import annotations

import random

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier

from affectscope.data import grouped_folds, load_corpus
from affectscope.data.near_duplicates import merge_near_duplicates
from affectscope.probes import probe_out_of_fold

FOLDS = 5
SEEDS = range(4)
DIMENSIONS = 64


def with_copies(texts, emotions, groups, seed):
    """The items, and a copy of each, a word doubled, under a group of its own."""
    rng = random.Random(seed)
    copies = []
    for text in texts:
        words = text.split()
        at = rng.randrange(len(words))
        copies.append(" ".join([*words[:at], words[at], *words[at:]]))
    own = [f"copy {index}" for index in range(len(texts))]
    return [*texts, *copies], [*emotions, *emotions], [*groups, *own]


def out_of_fold(texts, emotions, groups, seed=0):
    """Accuracy of four models that are fitted on other folds."""
    folds = grouped_folds(emotions, groups, FOLDS, seed)
    words = TfidfVectorizer().fit_transform(texts)
    labels = np.array(emotions)
    dense = TruncatedSVD(DIMENSIONS, random_state=seed).fit_transform(words).astype(np.float32)
    probe = probe_out_of_fold(dense, {"emotion": emotions}, folds, penalties=(1.0,))["emotion"]
    found = {"linear probe": (probe.predicted == labels).mean()}
    for name, model in (
        ("naive Bayes", MultinomialNB()),
        ("nearest text", KNeighborsClassifier(1)),
    ):
        predicted = np.empty_like(labels)
        for fold in range(FOLDS):
            test = folds == fold
            predicted[test] = model.fit(words[~test], labels[~test]).predict(words[test])
        found[name] = (predicted == labels).mean()
    return {name: float(share) for name, share in found.items()}


def scores(seeds=SEEDS):
    """Accuracies without copies; with them, ungrouped; with them, as a corpus groups them.

    Means over the seeds, which decide copies and folds.
    """
    corpus = load_corpus("vignettes")
    items = (corpus.texts, corpus.emotions, corpus.groups)
    found = {"no copies": [], "copies, ungrouped": [], "copies, grouped": []}
    for seed in seeds:
        texts, emotions, groups = with_copies(*items, seed)
        merged = merge_near_duplicates(groups, texts)
        found["no copies"].append(out_of_fold(*items, seed))
        found["copies, ungrouped"].append(out_of_fold(texts, emotions, groups, seed))
        found["copies, grouped"].append(out_of_fold(texts, emotions, merged, seed))
    return {
        row: {name: float(np.mean([each[name] for each in runs])) for name in runs[0]}
        for row, runs in found.items()
    }


if __name__ == "__main__":
    found = scores()
    names = list(found["no copies"])
    print("| | " + " | ".join(names) + " |")
    print("|---|" + "---:|" * len(names))
    for row, values in found.items():
        print(f"| {row} | " + " | ".join(f"{values[name]:.1%}" for name in names) + " |")
