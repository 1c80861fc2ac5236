"""Corpora: reading, checking, sampling and splitting texts labelled with emotions."""

from affectscope.data.check import CorpusCheck, check_corpus
from affectscope.data.corpus import Corpus, DroppedRows
from affectscope.data.findings import Duplicates, LabelWords, NearDuplicates, Spread
from affectscope.data.folds import grouped_folds
from affectscope.data.loading import NAMED_CORPORA, load_corpus
from affectscope.data.readers import Readers, ReadItems, load_readers
from affectscope.data.splits import grouped_parts, paper_split

__all__ = [
    "NAMED_CORPORA",
    "Corpus",
    "CorpusCheck",
    "DroppedRows",
    "Duplicates",
    "LabelWords",
    "NearDuplicates",
    "ReadItems",
    "Readers",
    "Spread",
    "check_corpus",
    "grouped_folds",
    "grouped_parts",
    "load_corpus",
    "load_readers",
    "paper_split",
]
