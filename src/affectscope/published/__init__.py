"""Published values: what the paper reports, as data with their source and precision.

From Tak et al. 2025, "Mechanistic Interpretability of Emotion Inference in Large Language Models"
(Findings of ACL, arXiv 2502.05489). Accuracies of the ten models stand in the paper's text; the
other numbers were read off the authors' published notebooks, exact to about 0.01 (stacked bars:
0.02). The paper counts layers from 1; here they count from 0, as everywhere in the package. All
are of crowd-enVENT, without calibration; where ``items`` is ``right``, of the items that the model
names as their authors did.
"""

from affectscope.published.values import PublishedValue, paper_name, published_values

__all__ = ["PublishedValue", "paper_name", "published_values"]
