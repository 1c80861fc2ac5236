"""Figures of ``ablate``: which activations the answer cannot do without."""

from __future__ import annotations

import altair as alt
import pandas as pd

from affectscope.figures.figure import Figure, finished, need_columns, of_all_items
from affectscope.figures.layers import Extreme, Unit, describe_extremes, largest_number, shares_end
from affectscope.figures.panels import curve_panels
from affectscope.figures.spans import span_names, span_styles
from affectscope.figures.theme import in_site_order, site_styles
from affectscope.vocabulary import ABLATION_KINDS, AblationKind

_COLUMNS = ("metric", "kind", "site", "layer", "span", "value", "low", "high", "n")
_DONE: dict[AblationKind, str] = {
    "zero": "set to zero",
    "noise": "replaced by noise",
    "mean": "replaced by the mean",
    "resample": "replaced by another item's",
}
"""What is done to the site: the name of a panel."""

_KINDS = (
    "At each layer the site's output at the last token is set to zero, replaced by noise of the "
    "same length (norm), by its mean over all items, or by that of another item drawn at random."
)


def ablate_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``ablate``, by file name."""
    return {name: figure.chart for name, figure in ablate_figures(table).items()}


def ablate_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``ablate``, by file name.

    For each metric one with a panel for each kind of knock-out, of the smallest window; and one
    that compares windows.
    """
    need_columns(table, _COLUMNS, "ablate")
    table = of_all_items(table)
    figures: dict[str, Figure] = {}
    first = table[table["span"] == table["span"].min()]
    makers = {"agreement": _agreement, "accuracy": _accuracy, "kl": _divergence}
    for metric, make in makers.items():
        rows = first[first["metric"] == metric]
        if len(rows):
            figures[f"ablate_{metric}"] = make(rows)
    agreement = table[table["metric"] == "agreement"]
    if agreement["span"].nunique() > 1:
        figures["ablate_spans"] = _spans(agreement)
    return figures


def _subtitle(rows: pd.DataFrame) -> str:
    span = int(rows["span"].iloc[0])
    return f"{span} layer{'s' * (span != 1)} at a time; {int(rows['n'].max())} items"


def _present(rows: pd.DataFrame) -> list[AblationKind]:
    return [kind for kind in ABLATION_KINDS if (rows["kind"] == kind).any()]


def _in_words(rows: pd.DataFrame, which: Extreme, unit: Unit = "%") -> str:
    return " ".join(
        f"{_DONE[kind].capitalize()}: "
        f"{describe_extremes(rows[rows['kind'] == kind], which, unit=unit)}."
        for kind in _present(rows)
    )


def _by_kind(
    rows: pd.DataFrame,
    *,
    title: str,
    caption: str,
    y_title: str,
    which: Extreme,
    domain: tuple[float, float],
    unit: Unit = "%",
) -> Figure:
    sites = in_site_order(rows["site"].tolist())
    plot = curve_panels(
        rows.assign(panel=rows["kind"].map(_DONE), series=rows["site"]),
        panels=[_DONE[kind] for kind in _present(rows)],
        styles=dict(zip(sites, site_styles(sites), strict=True)),
        y_title=y_title,
        domain=domain,
        unit=unit,
        height=100,
    )
    return finished(
        plot,
        title=title,
        subtitle=_subtitle(rows),
        rows=rows,
        caption=caption,
        alt_text=(
            f"Line charts by layer, one for each kind of knock-out. {title}. "
            f"{_in_words(rows, which, unit)}"
        ),
    )


def _agreement(rows: pd.DataFrame) -> Figure:
    return _by_kind(
        rows,
        title="Answers kept when a site is knocked out",
        y_title="share of items",
        which="lowest",
        domain=(0.0, 1.0),
        caption=(
            f"{_KINDS} The curve is the share of items whose answer stays the same; bands are "
            "95 % intervals. A deep dip marks activations the answer needs; at 100 % they do not "
            "matter."
        ),
    )


def _accuracy(rows: pd.DataFrame) -> Figure:
    return _by_kind(
        rows,
        title="Accuracy when a site is knocked out",
        y_title="share of items",
        which="lowest",
        domain=(0.0, shares_end(rows)),
        caption=(
            "The share of items named as their authors did while the site's output at the last "
            "token is knocked out, in each of four ways. Bands are 95 % intervals."
        ),
    )


def _divergence(rows: pd.DataFrame) -> Figure:
    return _by_kind(
        rows,
        title="How far a knock-out moves the answers",
        y_title="KL divergence, nats",
        which="highest",
        domain=(0.0, largest_number(rows)),
        unit="nats",
        caption=(
            "The Kullback-Leibler divergence of the distribution over the labels from the "
            "undisturbed one while the site's output is knocked out, in each of four ways; means "
            "over items with 95 % intervals. It sees changes that leave the answer what it was."
        ),
    )


def _spans(rows: pd.DataFrame) -> Figure:
    spans = sorted(int(span) for span in rows["span"].unique())
    sites = in_site_order(rows["site"].tolist())
    title = "Answers kept, by the size of the window"
    plot = curve_panels(
        rows.assign(
            panel=rows["kind"],
            across=rows["site"],
            series=rows["span"].map(span_names(spans)),
        ),
        panels=_present(rows),
        across=sites,
        styles=span_styles(spans),
        y_title="share of items",
        height=76,
    )
    words = " ".join(
        f"Windows of {span}: {_in_words(rows[rows['span'] == span], 'lowest')}" for span in spans
    )
    return finished(
        plot,
        title=title,
        subtitle=f"windows of {', '.join(map(str, spans))} layers around the one shown",
        rows=rows,
        caption=(
            "The share of items whose answer stays the same, one layer or several knocked out "
            "together; bands are 95 % intervals. A dip that one layer does not make and several do "
            "is the work of layers that stand in for each other; a wide window also smears a dip "
            "over its neighbours. A window at resid_post that is replaced by a fixed value is its "
            "last layer alone: there the curves are the same, shifted."
        ),
        alt_text=f"Grid of line charts by layer. {title}. {words}",
    )
