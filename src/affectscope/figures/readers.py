"""The model beside people who read the same texts: a figure of ``infer``, given readers."""

from __future__ import annotations

import pandas as pd

from affectscope.figures.dots import OWN_WORDS_LIMIT, dot_plot
from affectscope.figures.figure import Figure, finished, records
from affectscope.figures.wording import with_interval

_READ = {
    "read_accuracy": "model",
    "reader_accuracy": "one reader",
    "plurality_accuracy": "plurality of readers",
}


def beside_readers(table: pd.DataFrame) -> Figure | None:
    """The model beside people who read the same items; None where nobody did."""
    rows = table[table["metric"].isin(list(_READ))]
    if rows.empty:
        return None
    drawn = rows.assign(category=rows["metric"].map(_READ), series="")
    title = "The model beside people who read the same texts"
    text = "; ".join(
        f"{row['category']}: {with_interval(row['value'], row['low'], row['high'])}"
        for row in records(drawn)
    )
    return finished(
        dot_plot(
            drawn,
            order=list(drawn["category"]),
            x_title="share of items",
            label_limit=OWN_WORDS_LIMIT,
        ),
        title=title,
        subtitle=f"the {int(rows['n'].max()):,} items that were read",
        rows=rows,
        caption=(
            "How often the author's emotion is named, on the items that readers rated: by the "
            "model (calibrated scores), by one reader, and by the label that most readers named, "
            "where labels named equally often share the item. Lines are 95 % intervals."
        ),
        alt_text=f"Dots with intervals. {title}: {text}.",
    )
