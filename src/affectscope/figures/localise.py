"""Figures of ``localise``: where each method peaks, and how alike their curves are."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.dots import OWN_WORDS_LIMIT, dot_plot
from affectscope.figures.figure import NO_VALUES, Figure, finished, need_columns, records
from affectscope.figures.layers import describe_extremes, layer_curves
from affectscope.figures.theme import in_site_order, site_styles

_COLUMNS = ("metric", "method", "other", "items", "site", "layer", "value", "low", "high", "n")

METHOD_WORDS = {
    "probe": "linear probe",
    "ablate.zero": "knock-out: zero",
    "ablate.noise": "knock-out: noise",
    "ablate.mean": "knock-out: mean",
    "ablate.resample": "knock-out: resample",
    "patch": "patch: sufficient",
    "patch.necessary": "patch: necessary",
}
"""Methods, as figures name them, in their order."""

_DRAWN = ("probe", "ablate.resample", "patch", "patch.necessary")
"""The profiles that are drawn over each other: one of each kind, so that they can be told apart."""

_ADDING = ("attn_out", "mlp_out")


def localise_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``localise``, by file name."""
    return {name: figure.chart for name, figure in localise_figures(table).items()}


def localise_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``localise``, by file name."""
    need_columns(table, _COLUMNS, "localise")
    right = table[table["items"] == "right"]
    figures: dict[str, Figure] = {}
    peaks = right[right["metric"] == "peak_layer"]
    if len(peaks):
        figures["localise_peaks"] = _peaks(peaks)
    for site in _ADDING:
        curves = right[(right["metric"] == "profile") & (right["site"] == site)]
        curves = curves[curves["method"].isin(_DRAWN)]
        if len(curves):
            figures[f"localise_profiles_{site}"] = _profiles(curves, site)
    return figures


def _words(methods: pd.Series) -> pd.Series:
    return methods.map(lambda name: METHOD_WORDS.get(name, name))


def _peaks(rows: pd.DataFrame) -> Figure:
    title = "Where each method peaks"
    drawn = rows.assign(category=_words(rows["method"]), series=rows["site"])
    sites = in_site_order(drawn["site"].tolist())
    order = [words for words in METHOD_WORDS.values() if words in set(drawn["category"])]
    text = "; ".join(
        f"{row['category']} at {row['site']}: layer {row['value']:.0f}"
        for row in records(drawn[drawn["value"].notna()])
    )
    plot = dot_plot(
        drawn,
        order=order,
        x_title="layer of the peak (from 0)",
        series=dict(zip(sites, site_styles(sites), strict=True)),
        number_format="d",
        label_limit=OWN_WORDS_LIMIT,
    )
    return finished(
        plot,
        title=title,
        subtitle="items that the model gets right",
        rows=rows,
        caption=(
            "For each method and site the layer where its curve is highest, with the 95 % interval "
            "of that layer. resid_post carries all that was added before, so that probes and "
            "patches of it stay high to the last layer."
        ),
        alt_text=f"Dots with intervals. {title}: {text or NO_VALUES}.",
    )


def _profiles(rows: pd.DataFrame, site: str) -> Figure:
    title = f"The methods' curves at {site}"
    highest = rows.groupby("method")["value"].transform("max")
    scaled = rows.assign(
        site=_words(rows["method"]), **{c: rows[c] / highest for c in ("value", "low", "high")}
    )
    numbers = scaled[["value", "low", "high"]].to_numpy(dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    domain = min([0.0, *numbers]), max([1.0, *numbers])
    return finished(
        layer_curves(scaled, y_title="share of the method's own peak", domain=domain),
        title=title,
        subtitle="items that the model gets right",
        rows=rows,
        caption=(
            "Each curve is divided by its own highest value, since the methods measure different "
            "things: the accuracy of a probe, the divergence under a knock-out, the share of the "
            "logit difference that a patch carries over or takes away. Bands are 95 % intervals."
        ),
        alt_text=f"Line chart by layer. {title}: {describe_extremes(scaled, 'highest')}.",
    )
