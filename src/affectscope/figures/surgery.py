"""Figures of ``surgery``: what rises and falls, what was held, where, and as rewritten texts do."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from affectscope.figures.dots import OWN_WORDS_LIMIT, dot_plot
from affectscope.figures.figure import NO_VALUES, Figure, finished, need_columns, records
from affectscope.figures.layers import Reference, describe_extremes, layer_curves
from affectscope.figures.signed_map import marks, signed_map
from affectscope.figures.theme import SeriesStyle
from affectscope.figures.wording import percent, visible

_COLUMNS = (
    *("metric", "edit", "method", "coefficient", "site", "span", "layer", "emotion", "read"),
    *("value", "low", "high", "n", "p", "significant"),
)

METHODS = {"held": "others held", "raw": "raw", "leace": "erased (LEACE)"}
"""Methods, as figures name them."""

_METHOD_STYLES = {
    "others held": SeriesStyle("#0072b2", (1, 0), "circle"),
    "raw": SeriesStyle("#b3541e", (4, 2), "diamond"),
    "erased (LEACE)": SeriesStyle("#3a3a3a", (2, 2), "triangle-up"),
}


def surgery_charts(table: pd.DataFrame) -> dict[str, alt.TopLevelMixin]:
    """The charts of a table of estimates of ``surgery``, by file name."""
    return {name: figure.chart for name, figure in surgery_figures(table).items()}


def surgery_figures(table: pd.DataFrame) -> dict[str, Figure]:
    """The figures of a table of estimates of ``surgery``, by file name."""
    need_columns(table, _COLUMNS, "surgery")
    figures: dict[str, Figure] = {}
    moves = table[(table["metric"] == "move") & (table["method"] == "held")]
    if len(moves):
        figures["surgery_moves"] = _moves(moves)
    readings = table[table["metric"] == "reading_change"]
    if len(readings):
        figures["surgery_leakage"] = _leakage(readings)
        figures["surgery_leakage_layers"] = _by_layer(table[table["metric"] == "leakage"])
    specific = table[table["metric"] == "specific"]
    if len(specific):
        figures["surgery_place"] = _place(specific)
    compounds = _compounds(table)
    if len(compounds):
        figures["surgery_compounds"] = _rates(compounds)
    pairs = table[(table["metric"] == "pairs_agreement") & (table["edit"] != "")]
    if len(pairs):
        figures["surgery_pairs"] = _pairs(pairs, table)
    return figures


def _in_order(values: pd.Series) -> list[str]:
    return list(dict.fromkeys(values.astype(str)))


def _moves(rows: pd.DataFrame) -> Figure:
    title = "What rises and falls when an appraisal does"
    names, emotions = _in_order(rows["edit"]), _in_order(rows["emotion"])
    drawn = rows.assign(
        down=rows["edit"],
        across=rows["emotion"],
        mark=marks(rows["value"], rows["significant"]),
    )
    sure = rows[(rows["significant"] != 0) & rows["value"].notna()].sort_values(
        "value", key=np.abs, ascending=False
    )
    text = "; ".join(
        f"{row['emotion']} {'rises' if row['value'] > 0 else 'falls'} with {row['edit']}"
        for row in records(sure.head(6))
    )
    none = "nothing is significant" if rows["value"].notna().any() else NO_VALUES
    return finished(
        signed_map(
            drawn,
            down=names,
            across=emotions,
            down_title=None,
            across_title=None,
            value_title="change of log probability, nats",
        ),
        title=title,
        subtitle="moved inside the model, all other appraisals held",
        rows=rows,
        caption=(
            "Half the difference between moving the appraisal up and moving it down, on items that "
            "the directions were not fitted to. + and − mark effects whose 95 % interval excludes "
            "0 and that are larger than what random directions of the same length do to any label."
        ),
        alt_text=f"Map of appraisals by emotions. {title}: {text or none}.",
    )


def _leakage(rows: pd.DataFrame) -> Figure:
    edited = int(rows["layer"].min())
    here = rows[(rows["layer"] == edited) & rows["method"].isin(["held", "raw"])]
    own = here[here["edit"] == here["read"]].set_index(["method", "edit"])["value"].abs()
    intended = [own[key] for key in zip(here["method"], here["edit"], strict=True)]
    share: pd.Series[Any] = here["value"] / np.where(np.array(intended) > 0, intended, np.nan)
    drawn = here.assign(
        value=share,
        down=here["edit"],
        across=here["read"],
        panel=here["method"].map(METHODS),
        mark="",
    )
    apart = share[(here["edit"] != here["read"]) & share.notna()].abs()
    means = apart.groupby(here["method"]).mean()
    text = "; ".join(f"{METHODS[str(m)]} {v:.0%} on average" for m, v in means.items()) or NO_VALUES
    names = _in_order(here["edit"])
    title = "What else changes when one appraisal is moved"
    return finished(
        signed_map(
            drawn,
            down=names,
            across=names,
            down_title="moved up",
            across_title="read",
            value_title="change, as a share of the intended",
            panels=[METHODS["held"], METHODS["raw"]],
            end=1.0,
        ),
        title=title,
        subtitle=f"at the edited layer ({edited}), read with probes of other items",
        rows=here,
        caption=(
            "Rows: the appraisal moved. Columns: the appraisal read, by probes that were fitted to "
            "other items than the directions. Changes in standard deviations of the readings, "
            "divided by that of the moved appraisal. Above, all others are projected out of what "
            "is added; below, nothing is."
        ),
        alt_text=f"Two maps of moved by read appraisals at layer {edited}. {title}: {text}.",
    )


def _by_layer(rows: pd.DataFrame) -> Figure:
    title = "What comes back at later layers"
    drawn = rows.assign(site=rows["method"].map(METHODS))
    numbers = drawn[["value", "high"]].to_numpy(dtype=float)
    top = max([1.0, *np.minimum(numbers[np.isfinite(numbers)], 5.0)])
    return finished(
        layer_curves(
            drawn,
            y_title="mean change of the others / intended",
            domain=(0.0, float(top)),
            references=[Reference(0.1, "a tenth")],
        ),
        title=title,
        rows=rows,
        caption=(
            "How much the appraisals that should be held change on average, as a share of the "
            "intended change, from the edited layer on, with 95 % intervals."
        ),
        alt_text=f"Line chart by layer. {title}: {describe_extremes(drawn, 'lowest')}.",
    )


def _place(rows: pd.DataFrame) -> Figure:
    best = rows.sort_values("value", ascending=False).head(1)
    here = rows[rows["span"].isin(best["span"])]
    title = "Where appraisals move answers"
    numbers = here[["value", "low", "high"]].to_numpy(dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    return finished(
        layer_curves(
            here,
            y_title="total variation beyond random directions",
            domain=(min([0.0, *numbers]), max([0.05, *numbers])),
        ),
        title=title,
        subtitle=f"width of the window: {here['span'].max():.0f}; by its centre",
        rows=here,
        caption=(
            "How far answers with an appraisal moved up are from answers with it moved down, "
            "beyond what random directions of the same length do; on the items that directions "
            "are fitted to, apart from those that are operated on. Bands are 95 % intervals."
        ),
        alt_text=f"Line chart by layer. {title}: {describe_extremes(here, 'highest')}.",
    )


def _compounds(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[(table["metric"] == "rate_change") & (table["method"] == "held")]
    rows = rows[rows["edit"].str.contains(" ")]
    if rows.empty:
        return rows
    lengths = sorted(rows["coefficient"].unique())
    middle: pd.DataFrame = rows[rows["coefficient"] == lengths[len(lengths) // 2]]
    return middle


def _rates(rows: pd.DataFrame) -> Figure:
    title = "Two appraisals moved together"
    best = rows.dropna(subset="value").sort_values("value", ascending=False)
    found = records(best.groupby("edit").head(1))
    text = "; ".join(f"{visible(row['edit'])}: {row['emotion']} rises most" for row in found)
    return finished(
        signed_map(
            rows.assign(down=rows["edit"], across=rows["emotion"], mark=""),
            down=_in_order(rows["edit"]),
            across=_in_order(rows["emotion"]),
            down_title=None,
            across_title=None,
            value_title="change of the share of answers",
            number_format=".0%",
            label_limit=OWN_WORDS_LIMIT,
        ),
        title=title,
        subtitle="all others held",
        rows=rows,
        caption="The change of each emotion's share of the answers, + up and - down.",
        alt_text=f"Map of edits by emotions. {title}: {text or NO_VALUES}.",
    )


def _pairs(rows: pd.DataFrame, table: pd.DataFrame) -> Figure:
    title = "Inside the model as in the text?"
    drawn = rows.assign(category=rows["edit"].map(visible), series=rows["method"].map(METHODS))
    whole = table[(table["metric"] == "pairs_agreement") & (table["edit"] == "")]
    text = "; ".join(
        f"{METHODS[row['method']]}: {percent(row['value'])} of {row['n']:.0f} pairs"
        for row in records(whole.dropna(subset="value"))
    )
    return finished(
        dot_plot(
            drawn,
            order=sorted(set(drawn["category"])),
            x_title="share of pairs that go the same way",
            series={name: _METHOD_STYLES[name] for name in ("others held", "raw")},
            reference=Reference(0.5, "chance"),
            label_limit=OWN_WORDS_LIMIT,
        ),
        title=title,
        subtitle="minimal pairs, by the appraisal in which they differ",
        rows=pd.concat([whole, rows]),
        caption=(
            "Share of minimal pairs for which moving the appraisal inside the model shifts the "
            "answer in the direction in which rewriting the text does, with 95 % intervals."
        ),
        alt_text=f"Dots with intervals. {title}: {text or NO_VALUES}.",
    )
