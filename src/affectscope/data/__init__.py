"""Corpora: reading, checking, sampling and splitting texts labelled with emotions."""

from affectscope.data.check import CorpusCheck, Duplicates, LabelWords, Spread, check_corpus
from affectscope.data.corpus import Corpus, DroppedRows
from affectscope.data.folds import grouped_folds
from affectscope.data.loading import NAMED_CORPORA, load_corpus

__all__ = [
    "NAMED_CORPORA",
    "Corpus",
    "CorpusCheck",
    "DroppedRows",
    "Duplicates",
    "LabelWords",
    "Spread",
    "check_corpus",
    "grouped_folds",
    "load_corpus",
]
