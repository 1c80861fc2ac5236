"""Estimates with intervals: every number that is reported passes through here."""

from affectscope.stats.bootstrap import Estimate, GroupBootstrap, RatioDraws

__all__ = ["Estimate", "GroupBootstrap", "RatioDraws"]
