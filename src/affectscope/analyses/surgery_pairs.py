"""Does moving an appraisal inside the model do what rewriting the text does?

Of a minimal pair, the version differs from its base in one appraisal. The natural shift is how far
the model's preference for the version's emotion over the base's moves when the text is rewritten;
the internal shift is how far it moves when that appraisal is moved, in the same direction, inside
the model while it reads the base.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from affectscope.analyses.pairs import Pairs
from affectscope.analyses.study import Study
from affectscope.analyses.surgery_effects import PlaceScores
from affectscope.stats import GroupBootstrap, estimate_rows, sign_flip_test


def pair_shifts(study: Study, scores: PlaceScores, coefficient: float) -> pd.DataFrame:
    """Natural and internal shifts of every pair whose base was operated on.

    Returns:
        Columns scenario, flipped, natural, internal (the others held) and raw, in nats; a row for
        each pair whose flipped appraisal is rated differently in its two texts.
    """
    clean = study.clean
    natural = clean.offsets.scores(clean.logits).log_softmax(dim=-1).numpy().astype(float)
    row_of = {int(item): row for row, item in enumerate(scores.items)}
    edits = {method: scores.of(method, coefficient) for method in ("held", "raw")}
    found = []
    for pair in Pairs(study).pairs.to_dict("records"):
        base, item, flipped = int(pair["item_base"]), int(pair["item"]), str(pair["flipped"])
        ratings = study.corpus.items.get(flipped)
        step = np.nan if ratings is None else float(ratings.iloc[item] - ratings.iloc[base])
        edit = f"{flipped}{'+' if step > 0 else '-'}"
        if base not in row_of or not step or not np.isfinite(step) or edit not in edits["held"][0]:
            continue
        to, away = clean.emotions[item], clean.emotions[base]

        def prefers(row: NDArray[np.float64], to: int = to, away: int = away) -> float:
            return float(row[to] - row[away])

        before = prefers(natural[base])
        shifts = {
            method: prefers(values[row_of[base], names.index(edit)]) - before
            for method, (names, values) in edits.items()
        }
        found.append(
            {
                "scenario": str(pair["scenario"]),
                "flipped": flipped,
                "natural": prefers(natural[item]) - before,
                "internal": shifts["held"],
                "raw": shifts["raw"],
            }
        )
    return pd.DataFrame(found, columns=["scenario", "flipped", "natural", "internal", "raw"])


def pairs_table(shifts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """How internal and natural shifts agree, in all and by flipped appraisal.

    Metrics, by method: ``pairs_agreement`` (share of pairs with shifts of one sign; p by flipping
    scenarios), ``pairs_moved`` (share whose internal shift goes towards the version's emotion) and
    ``pairs_size`` (the internal shift along the natural one, as a share of the natural shifts).
    """
    draws = GroupBootstrap(tuple(shifts["scenario"]), seed=seed)
    natural = shifts["natural"].to_numpy()
    tables = []
    for method, column in (("held", "internal"), ("raw", "raw")):
        inside = shifts[column].to_numpy()
        product = natural * inside
        agree = np.where(product == 0, 0.5, product > 0).astype(float)
        moved = np.where(inside == 0, 0.5, inside > 0).astype(float)
        along, size = np.sign(natural) * inside, np.abs(natural)
        test = sign_flip_test((agree - 0.5)[:, None], shifts["scenario"].tolist(), seed=seed)
        for flipped in ["", *sorted(set(shifts["flipped"]))]:
            here = np.ones(len(shifts), bool) if not flipped else shifts["flipped"] == flipped
            keys = {"edit": [flipped], "method": [method]}
            out = [np.where(here, values, np.nan)[:, None] for values in (agree, moved, along)]
            found = {
                "pairs_agreement": draws.ratio(out[0]),
                "pairs_moved": draws.ratio(out[1]),
                "pairs_size": draws.ratio(out[2], size[:, None]),
            }
            for metric, ratio in found.items():
                rows = estimate_rows(keys, ratio.estimates(), metric)
                is_tested = metric == "pairs_agreement" and not flipped
                tables.append(rows.assign(p=float(test.p[0]) if is_tested else np.nan))
    return pd.concat(tables, ignore_index=True)
