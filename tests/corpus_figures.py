"""The figures of the vignettes' card, computed from the files.

``python tests/corpus_figures.py`` prints the card's tables; a test holds the card to them.
"""

from __future__ import annotations

import argparse
import random
import re
from collections import Counter
from difflib import SequenceMatcher
from itertools import combinations

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from affectscope.data import Corpus, load_corpus
from affectscope.data.vignettes import second_rating
from affectscope.vocabulary import APPRAISAL_NAMES

SEEDS = range(3)


def words(text):
    """The words of a text, in order."""
    return re.findall(r"[\w'’-]+", text.lower())


def shared_words(one, other):
    """How much of their words two texts share in order: difflib's ratio over words."""
    return SequenceMatcher(None, words(one), words(other), autojunk=False).ratio()


def scenarios(corpus: Corpus):
    """The versions of every scenario, in order."""
    return [
        group.sort_values("version").to_dict("records")
        for _, group in corpus.items.groupby("scenario")
    ]


def within(corpus):
    """Shared words of every version with its base."""
    return [
        shared_words(versions[0]["text"], each["text"])
        for versions in scenarios(corpus)
        for each in versions[1:]
    ]


def between(corpus):
    """Shared words of every two bases."""
    texts = [versions[0]["text"] for versions in scenarios(corpus)]
    return [shared_words(a, b) for a, b in combinations(texts, 2)]


def moved_more(corpus):
    """For every version, how many appraisals move more than the flipped one."""
    ranks = []
    for versions in scenarios(corpus):
        base = np.array([versions[0][name] for name in APPRAISAL_NAMES])
        for each in versions[1:]:
            moved = np.abs(np.array([each[name] for name in APPRAISAL_NAMES]) - base)
            ranks.append(int((moved > moved[APPRAISAL_NAMES.index(each["flipped"])]).sum()))
    return ranks


WORD_MODELS = {
    "counts of words, naive Bayes": make_pipeline(CountVectorizer(), MultinomialNB()),
    "counts of words and pairs, naive Bayes": make_pipeline(
        CountVectorizer(ngram_range=(1, 2)), MultinomialNB()
    ),
    "TF-IDF of words, logistic regression": make_pipeline(
        TfidfVectorizer(), LogisticRegression(C=10, max_iter=2000)
    ),
}
RATING_MODEL = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))


def accuracy(model, X, corpus):
    """Out-of-fold accuracy, ten folds by scenario, mean over three shuffles."""
    emotions = np.array(corpus.emotions)
    shares = []
    for seed in SEEDS:
        folds = StratifiedGroupKFold(10, shuffle=True, random_state=seed)
        split = list(folds.split(emotions, emotions, corpus.groups))
        shares.append((cross_val_predict(model, X, emotions, cv=split) == emotions).mean())
    return float(np.mean(shares))


def word_accuracies(corpus):
    """Accuracy of each bag of words."""
    texts = np.array(corpus.texts)
    return {name: accuracy(model, texts, corpus) for name, model in WORD_MODELS.items()}


def rating_accuracies(corpus):
    """Accuracy from the first and from the second rating."""
    both = {"first rating": corpus.items, "second rating": second_rating()}
    names = list(APPRAISAL_NAMES)
    return {name: accuracy(RATING_MODEL, r[names].to_numpy(), corpus) for name, r in both.items()}


def kappas(corpus):
    """Quadratic kappa of the two ratings of every appraisal."""
    second = second_rating()
    return {
        name: float(
            cohen_kappa_score(corpus.items[name].astype(int), second[name], weights="quadratic")
        )
        for name in APPRAISAL_NAMES
    }


def card_tables(corpus):
    """The card's tables, line by line."""
    counts, flipped = Counter(corpus.emotions), Counter(corpus.items["flipped"])
    del flipped[""]
    lengths = [len(words(text)) for text in corpus.texts]
    ranks = np.array(moved_more(corpus))
    inside, outside = within(corpus), between(corpus)
    agree = float(np.mean(second_rating()["emotion"].to_numpy() == np.array(corpus.emotions)))
    rows = [
        ("texts; scenarios; versions of each", f"{len(corpus)}; {len(set(corpus.groups))}; 4"),
        ("texts of an emotion: least, most", f"{min(counts.values())}, {max(counts.values())}"),
        (
            "words of a text: least, median, most",
            f"{min(lengths)}, {np.median(lengths):.0f}, {max(lengths)}",
        ),
        (
            "words shared with the base, in order: least, mean",
            f"{min(inside):.0%}, {np.mean(inside):.0%}",
        ),
        (
            "words shared by two scenarios' bases: mean, most",
            f"{np.mean(outside):.0%}, {max(outside):.0%}",
        ),
        (
            "versions in which no appraisal moves more than the flipped one",
            f"{(ranks == 0).mean():.0%}",
        ),
        ("appraisals that move more than the flipped one, at most", f"{ranks.max()}"),
        *((f"emotion from words: {k}", f"{v:.1%}") for k, v in word_accuracies(corpus).items()),
        *((f"emotion from the {k}", f"{v:.1%}") for k, v in rating_accuracies(corpus).items()),
        ("emotion: agreement of the two ratings, after rewriting", f"{agree:.1%}"),
    ]
    measured = kappas(corpus)
    return [
        *(f"| {name} | {value} |" for name, value in rows),
        *(f"| `{name}` | {flipped[name]} | {measured[name]:.2f} |" for name in APPRAISAL_NAMES),
    ]


def drawn(corpus, n, seed):
    """Some scenarios drawn at random, whole, as lines."""
    chosen = random.Random(seed).sample(scenarios(corpus), n)
    lines = []
    for versions in chosen:
        lines.append(f"\n{versions[0]['scenario']}")
        for each in versions:
            flipped = f" ({each['flipped']})" if each["flipped"] else ""
            lines.append(f"  {each['version']} {each['emotion']}{flipped}: {each['text']}")
    return lines


def main():
    """Print the card's tables, or scenarios."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenarios", type=int, help="print so many drawn scenarios instead")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    corpus = load_corpus("vignettes")
    if options.scenarios:
        print("\n".join(drawn(corpus, options.scenarios, options.seed)))
    else:
        print("\n".join(card_tables(corpus)))


if __name__ == "__main__":
    main()
