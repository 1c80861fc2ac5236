"""Estimates with intervals: every number that is reported passes through here."""

from affectscope.stats.bootstrap import Estimate, GroupBootstrap, RatioDraws
from affectscope.stats.correlation import squared_correlation
from affectscope.stats.divergence import PermutedNull, jensen_shannon, permuted_distance
from affectscope.stats.human import HumanReference, human_reference, plurality_hits, reader_hits
from affectscope.stats.multiplicity import false_discovery_rate
from affectscope.stats.permutation import (
    MaximumTest,
    dealt_labels,
    label_permutation_test,
    maximum_test,
    sign_flip_test,
)
from affectscope.stats.refit import PermutedAccuracy, refit_accuracy, refit_test
from affectscope.stats.rows import estimate_rows

__all__ = [
    "Estimate",
    "GroupBootstrap",
    "HumanReference",
    "MaximumTest",
    "PermutedAccuracy",
    "PermutedNull",
    "RatioDraws",
    "dealt_labels",
    "estimate_rows",
    "false_discovery_rate",
    "human_reference",
    "jensen_shannon",
    "label_permutation_test",
    "maximum_test",
    "permuted_distance",
    "plurality_hits",
    "reader_hits",
    "refit_accuracy",
    "refit_test",
    "sign_flip_test",
    "squared_correlation",
]
