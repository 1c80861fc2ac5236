"""Tables with several window sizes: one figure for each."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd


def by_span(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each window size, with the ending of the figure's name.

    The ending is empty when there is one window size only.
    """
    spans = sorted(rows["span"].unique())
    for span in spans:
        ending = f"_span{int(span)}" if len(spans) > 1 else ""
        yield ending, rows[rows["span"] == span]
