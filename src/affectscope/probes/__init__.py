"""Probes: what can be read from an activation."""

from affectscope.probes.linear import fit_linear_probe, probe_out_of_fold

__all__ = ["fit_linear_probe", "probe_out_of_fold"]
