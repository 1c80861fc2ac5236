"""Figures of ``ablate``: which activations the answer cannot do without."""

from __future__ import annotations

import altair as alt
import pandas as pd

from affectscope.figures.figure import Figure, finished, need_columns, of_all_items
from affectscope.figures.layers import describe_extremes, layer_curves, layer_heatmap
from affectscope.figures.spans import by_span
from affectscope.vocabulary import ABLATION_KINDS, AblationKind

_COLUMNS = ("metric", "kind", "site", "layer", "span", "value", "low", "high", "n")
_DONE: dict[AblationKind, tuple[str, str]] = {
    "zero": ("set to zero", "set to zero"),
    "noise": ("replaced by noise", "replaced by noise of the same length (norm)"),
    "mean": ("replaced by the mean", "replaced by its mean over all items"),
    "resample": ("replaced by another text's", "replaced by that of another item, drawn at random"),
}
"""What is done to the site, for a title and for a caption."""


def ablate_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``ablate``, by file name."""
    return {name: figure.chart for name, figure in ablate_figures(table).items()}


def ablate_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``ablate``, by file name.

    For each kind of knock-out: agreement with the undisturbed answer, accuracy, and how far the
    distribution over the labels moves.
    """
    need_columns(table, _COLUMNS, "ablate")
    table = of_all_items(table)
    figures: dict[str, Figure] = {}
    for kind in ABLATION_KINDS:
        of_kind = table[table["kind"] == kind]
        for ending, rows in by_span(of_kind[of_kind["metric"] == "agreement"]):
            figures[f"ablate_{kind}_layers{ending}"] = _agreement(rows, kind)
            figures[f"ablate_{kind}_heatmap{ending}"] = _map(rows, kind)
        for ending, rows in by_span(of_kind[of_kind["metric"] == "accuracy"]):
            figures[f"ablate_{kind}_accuracy{ending}"] = _accuracy(rows, kind)
        for ending, rows in by_span(of_kind[of_kind["metric"] == "kl"]):
            figures[f"ablate_{kind}_kl{ending}"] = _divergence(rows, kind)
    return figures


def _subtitle(rows: pd.DataFrame) -> str:
    span = int(rows["span"].iloc[0])
    return f"{span} layer{'s' * (span != 1)} at a time"


def _agreement(rows: pd.DataFrame, kind: AblationKind) -> Figure:
    short, done = _DONE[kind]
    title = f"Answers kept when a site is {short}"
    text = f"Line chart by layer. {title}: {describe_extremes(rows, 'lowest')}."
    plot = layer_curves(rows, y_title="share of items, same answer", which="lowest")
    return finished(
        plot,
        title=title,
        subtitle=_subtitle(rows),
        rows=rows,
        caption=(
            f"At each layer the site's output at the last token is {done}. The curve is the share "
            "of items whose answer stays the same; bands are 95 % intervals. A deep dip (large "
            "point: the deepest) marks activations the answer needs; at 100 % they do not matter."
        ),
        alt_text=text,
    )


def _map(rows: pd.DataFrame, kind: AblationKind) -> Figure:
    title = f"Answers kept, by layer and site ({kind})"
    text = f"Map of layer by site. {title}: {describe_extremes(rows, 'lowest')}."
    plot = layer_heatmap(rows, value_title="share of items, same answer", which="lowest")
    return finished(
        plot,
        title=title,
        subtitle=_subtitle(rows),
        rows=rows,
        caption="The same shares side by side: the darker, the more answers change.",
        alt_text=text,
    )


def _accuracy(rows: pd.DataFrame, kind: AblationKind) -> Figure:
    short, done = _DONE[kind]
    title = f"Accuracy when a site is {short}"
    text = f"Line chart by layer. {title}: {describe_extremes(rows, 'lowest')}."
    plot = layer_curves(rows, y_title="share of items, right answer", which="lowest")
    return finished(
        plot,
        title=title,
        subtitle=_subtitle(rows),
        rows=rows,
        caption=(
            f"The share of items named as their authors did while the site's output is {done}. "
            "Bands are 95 % intervals, large points the lowest layer of each site."
        ),
        alt_text=text,
    )


def _divergence(rows: pd.DataFrame, kind: AblationKind) -> Figure:
    short, done = _DONE[kind]
    title = f"How far answers move: {short}"
    found = describe_extremes(rows, "highest", unit="nats")
    return finished(
        layer_curves(rows, y_title="KL divergence, nats", unit="nats"),
        title=title,
        subtitle=_subtitle(rows),
        rows=rows,
        caption=(
            "The Kullback-Leibler divergence of the distribution over the labels from the "
            f"undisturbed one while the site's output is {done}; means over items with 95 % "
            "intervals. It sees changes that leave the answer what it was."
        ),
        alt_text=f"Line chart by layer. {title}: {found}.",
    )
