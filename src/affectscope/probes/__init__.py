"""Probes: what can be read from an activation."""

from affectscope.probes.linear import PENALTIES, OutOfFold, probe_out_of_fold
from affectscope.probes.solver import LinearProbes, fit_probes

__all__ = ["PENALTIES", "LinearProbes", "OutOfFold", "fit_probes", "probe_out_of_fold"]
