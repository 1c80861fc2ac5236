"""Probes: what can be read from an activation."""

from affectscope.probes.linear import PENALTIES, OutOfFold, probe_out_of_fold
from affectscope.probes.mlp import DECAY, HIDDEN, ITERATIONS, mlp_out_of_fold
from affectscope.probes.parallel import one_thread_each
from affectscope.probes.solver import LinearProbes, fit_probes

__all__ = [
    "DECAY",
    "HIDDEN",
    "ITERATIONS",
    "PENALTIES",
    "LinearProbes",
    "OutOfFold",
    "fit_probes",
    "mlp_out_of_fold",
    "one_thread_each",
    "probe_out_of_fold",
]
