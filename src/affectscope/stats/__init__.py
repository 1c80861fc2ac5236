"""Estimates with intervals: every number that is reported passes through here."""

from affectscope.stats.bootstrap import Estimate, GroupBootstrap, RatioDraws
from affectscope.stats.correlation import squared_correlation
from affectscope.stats.divergence import PermutedNull, jensen_shannon, permuted_distance
from affectscope.stats.human import HumanReference, human_reference, plurality_hits, reader_hits
from affectscope.stats.rows import estimate_rows

__all__ = [
    "Estimate",
    "GroupBootstrap",
    "HumanReference",
    "PermutedNull",
    "RatioDraws",
    "estimate_rows",
    "human_reference",
    "jensen_shannon",
    "permuted_distance",
    "plurality_hits",
    "reader_hits",
    "squared_correlation",
]
