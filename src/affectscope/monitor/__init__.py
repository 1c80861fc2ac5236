"""The monitor: emotion and appraisals read token by token while a model writes, with alarms.

Linear probes read the residual stream that every token is written from, in the pass that writes it.
An *alarm* is for a whole turn: some watched emotion or appraisal stood out for a few tokens more
than it does in all but a claimed share of neutral texts (:mod:`affectscope.monitor.thresholds`).
"""

from affectscope.monitor.calibrating import calibrate
from affectscope.monitor.fitting import fit_monitor
from affectscope.monitor.monitor import Monitor
from affectscope.monitor.probes import MonitorProbes
from affectscope.monitor.thresholds import WATCHED, Thresholds, TurnKind
from affectscope.monitor.turn import TurnReading

__all__ = [
    "WATCHED",
    "Monitor",
    "MonitorProbes",
    "Thresholds",
    "TurnKind",
    "TurnReading",
    "calibrate",
    "fit_monitor",
]
