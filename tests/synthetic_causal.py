"""Tables of ``ablate`` and ``patch`` made by hand; no model is involved.

The curves are planted: attn_out peaks at a known layer, resid_post climbs to all, wider windows
carry more, earlier tokens nothing, and one head most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from affectscope.vocabulary import SITES

EMOTION_NAMES = ("anger", "fear", "joy", "sadness")


def estimate(value: float, n: int = 200, half: float = 0.04) -> dict[str, Any]:
    """A share with an interval that stays within 0 and 1."""
    low, high = max(0.0, value - half), min(1.0, value + half)
    return {"value": float(value), "low": float(low), "high": float(high), "n": n}


def around(value: float, n: int, half: float) -> dict[str, Any]:
    """A number that is no share."""
    return {"value": float(value), "low": float(value - half), "high": float(value + half), "n": n}


def peak_layer(n_layers: int) -> int:
    """Where attn_out peaks in :func:`patch_table`."""
    return int(0.72 * n_layers)


def curve(site: str, n_layers: int, span: int = 3) -> np.ndarray:
    """Transfer by layer: a bump for attn_out, a low one for mlp_out, a rise for the others."""
    x, wide = np.arange(n_layers), 1 + 0.15 * (span - 3)
    if site == "attn_out":
        bump = np.exp(-(((x - peak_layer(n_layers)) / (0.06 * wide * n_layers)) ** 2))
        return 0.04 + 0.48 * min(1.3, wide) * bump
    if site == "mlp_out":
        return 0.05 + 0.15 * np.exp(-(((x - 0.85 * n_layers) / (0.1 * wide * n_layers)) ** 2))
    return 1 / (1 + np.exp(-(x - 0.7 * n_layers) / (0.05 * n_layers)))


def ablate_table(
    n_layers: int = 30, sites: Sequence[str] = SITES, spans: Sequence[int] = (1, 3, 5)
) -> pd.DataFrame:
    """Agreement is the complement of the transfer that patching finds."""
    rows = []
    for span in spans:
        for kind, depth in (("zero", 0.9), ("noise", 1.3), ("mean", 0.6), ("resample", 0.8)):
            for site in sites:
                for layer, carried in enumerate(curve(site, n_layers, span + 2)):
                    where = {"kind": kind, "site": site, "layer": layer, "span": span}
                    where |= {"items": "all"}
                    kept = max(0.02, 0.95 - depth * carried)
                    p = {"p": 0.001 if carried > 0.3 else 1.0}
                    moved = around(2 * depth * carried, 700, 0.05)
                    rows.append({"metric": "agreement", **where, **estimate(kept, 700, 0.03), **p})
                    rows.append({"metric": "accuracy", **where, **estimate(0.28 * kept, 700, 0.03)})
                    rows.append({"metric": "kl", **where, **moved, **p})
    return pd.DataFrame(rows)


def patch_table(
    n_layers: int = 30,
    sites: Sequence[str] = SITES,
    span: int = 3,
    *,
    spans: Sequence[int] = (1, 3, 5),
    positions: Sequence[int] = (-1, -2, -3),
    n_heads: int = 4,
) -> pd.DataFrame:
    """Outcomes that add up to one, and a recovered share that overshoots a little."""
    rows: list[dict[str, Any]] = []
    for site in sites:
        for one in dict.fromkeys((span, *spans)):
            for layer, carried in enumerate(curve(site, n_layers, one)):
                where = {"site": site, "layer": layer, "span": one}
                rows += _patched(carried, **where)
                if one == span:
                    rows += _patched(carried, **where, direction="necessary")
                    for position in positions:
                        if position != -1:
                            weak = carried / (2 - 2 * position)
                            rows += _patched(weak, **where, position=position)
    for head in range(n_heads):
        for layer in range(n_layers):
            carried = 0.2 if (layer, head) == (peak_layer(n_layers), 1) else 0.01
            rows += _patched(carried, site=f"head_out[{head}]", layer=layer, span=1)
    for site in sites:
        rows += _by_emotion(site=site, layer=peak_layer(n_layers), span=span)
    return pd.DataFrame(rows)


def _patched(
    carried: float, *, position: int = -1, direction: str = "sufficient", **where: Any
) -> list[dict[str, Any]]:
    """All metrics of one patch."""
    where |= {"position": position, "direction": direction}
    where |= {"source_emotion": "", "target_emotion": ""}
    kept = 0.8 * (1 - carried)
    outcomes = {"source": carried, "target": kept, "neither": 1 - carried - kept}
    moved = "recovered"
    if direction == "necessary":
        outcomes |= {"source": kept, "target": carried, "broken": 1 - kept}
        moved = "lost"
    rows = [{"metric": name, **where, **estimate(value)} for name, value in outcomes.items()]
    p = 0.001 if carried > 0.3 else 1.0
    return [*rows, {"metric": moved, **where, **around(1.1 * carried - 0.05, 200, 0.06), "p": p}]


def _by_emotion(**where: Any) -> list[dict[str, Any]]:
    """Rows by source's and target's emotion."""
    rows = []
    where |= {"position": -1, "direction": "sufficient"}
    for k, source in enumerate(EMOTION_NAMES):
        for target in (name for name in EMOTION_NAMES if name != source):
            pair = {"source_emotion": source, "target_emotion": target}
            share = estimate(0.3 + 0.1 * k, 12, 0.2)
            rows.append({"metric": "source_by_pair", **where, **pair, **share})
        alone = where | {"source_emotion": source, "target_emotion": ""}
        share = estimate(0.4, 50, 0.1)
        rows.append({"metric": "source_by_emotion", **alone, **share})
        rows.append({"metric": "recovered_by_emotion", **alone, **share, "p": 0.01, "q": 0.02})
    return rows
