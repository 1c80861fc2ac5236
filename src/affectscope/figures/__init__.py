"""Tables to figures: one module an experiment, a shared theme, and the files on disk.

A figure is drawn from the table of estimates alone; nothing here loads a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from affectscope.figures.ablate import ablate_charts, ablate_figures
from affectscope.figures.appraise import appraise_charts, appraise_figures
from affectscope.figures.attend import attend_charts, attend_figures
from affectscope.figures.control import control_charts, control_figures
from affectscope.figures.export import save_figure
from affectscope.figures.figure import Figure
from affectscope.figures.generate import generate_charts, generate_figures
from affectscope.figures.geometry import geometry_charts, geometry_figures
from affectscope.figures.human import human_charts, human_figures
from affectscope.figures.infer import infer_charts, infer_figures
from affectscope.figures.localise import localise_charts, localise_figures
from affectscope.figures.pairs import pairs_charts, pairs_figures
from affectscope.figures.patch import patch_charts, patch_figures
from affectscope.figures.probe import probe_charts, probe_figures
from affectscope.figures.promote import promote_charts, promote_figures
from affectscope.figures.robust import robust_charts, robust_figures
from affectscope.figures.surgery import surgery_charts, surgery_figures
from affectscope.vocabulary import ExperimentName

FIGURES: Mapping[ExperimentName, Callable[[pd.DataFrame], dict[str, Figure]]] = {
    "infer": infer_figures,
    "probe": probe_figures,
    "ablate": ablate_figures,
    "pairs": pairs_figures,
    "patch": patch_figures,
    "attend": attend_figures,
    "control": control_figures,
    "robust": robust_figures,
    "localise": localise_figures,
    "appraise": appraise_figures,
    "geometry": geometry_figures,
    "promote": promote_figures,
    "surgery": surgery_figures,
    "generate": generate_figures,
    "human": human_figures,
}
"""What draws the table of estimates of each experiment."""

__all__ = [
    "FIGURES",
    "Figure",
    "ablate_charts",
    "ablate_figures",
    "appraise_charts",
    "appraise_figures",
    "attend_charts",
    "attend_figures",
    "control_charts",
    "control_figures",
    "generate_charts",
    "generate_figures",
    "geometry_charts",
    "geometry_figures",
    "human_charts",
    "human_figures",
    "infer_charts",
    "infer_figures",
    "localise_charts",
    "localise_figures",
    "pairs_charts",
    "pairs_figures",
    "patch_charts",
    "patch_figures",
    "probe_charts",
    "probe_figures",
    "promote_charts",
    "promote_figures",
    "robust_charts",
    "robust_figures",
    "save_figure",
    "surgery_charts",
    "surgery_figures",
]
