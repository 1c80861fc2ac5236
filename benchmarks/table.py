"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.tools import NAMES

Json = dict[str, Any]

MIB = 2**20


def markdown(results: Json) -> str:
    """All tables of a run, or of those parts that it did, from its JSON values."""
    tolerance = results["setting"]["tolerance"]
    sections: dict[str, tuple[str, Callable[[Any], str]]] = {
        "cpu": (
            "The same job by every tool",
            lambda part: f"{_tools(part)}\n\n{_agreement(part, tolerance)}",
        ),
        "by_template": ("Longer prompts of the paper, more interventions", _by_template),
        "by_interventions": (
            "Interventions a prompt",
            lambda part: _points(part, "interventions a prompt"),
        ),
        "by_length": ("Length of the prompts", lambda part: _points(part, "tokens a prompt")),
        "by_items": ("Items", _items),
        "rounding": ("Rounding in bfloat16", _rounding),
        "gpu": ("On a GPU", _gpu),
    }
    parts = [
        f"## {title}\n\n{text(results[name])}"
        for name, (title, text) in sections.items()
        if name in results
    ]
    return "\n\n".join(["# Benchmarks", _setting(results), *parts]) + "\n"


def _by_template(parts: Sequence[Json]) -> str:
    return "\n\n".join(
        f"Template `{part['template']}`: {part['job']}\n\n{_short(part)}" for part in parts
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are aligned to the right."""
    lines = [list(header), ["---", *["---:"] * (len(header) - 1)], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _setting(results: Json) -> str:
    machine, setting = results["machine"], results["setting"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    load = machine["load_at_start"]
    return (
        f"Made by `{setting['command']}` on {setting['date']}: {machine['processor']}, "
        f"{setting['threads']} threads of {machine['cores']} cores, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB of memory"
        + (f", load {load:.1f} at the start" if load is not None else "")
        + f"; Python {machine['python']}; {versions}. "
        f"Model {setting['model']} in float32, corpus {setting['corpus']}, seed {setting['seed']}. "
        f"What the columns mean: docs/benchmarks.md."
    )


def _tools(part: Json) -> str:
    header = [
        "tool",
        "ms an intervention",
        "times affectscope",
        "peak memory, MiB",
        "share of the product rate",
        "interventions run",
        "in one pass",
    ]
    rows = []
    for tool in part["tools"]:
        run, whole = tool["interventions_run"], tool["interventions"]
        padding = f", {tool['padding']:.0%} padding" if tool["padding"] else ""
        rows.append(
            [
                f"{tool['name']} ({tool['package']})",
                f"{tool['ms_per_intervention']:.2f}",
                f"{tool['times_affectscope']:.1f}",
                f"{tool['peak_bytes'] / MIB:,.0f}",
                f"{tool['share_of_product_rate']:.0%}",
                f"{run:,}" if run == whole else f"{run:,} of {whole:,} (extrapolated)",
                f"{tool['pass']}{padding}",
            ]
        )
    rates = ", ".join(f"{rate / 1e9:,.0f}" for rate in part["product_rates"])
    rounds = len(part["product_rates"])
    return (
        f"{table(header, rows)}\n\n"
        f"{part['job']} Medians over {rounds} round{'s' * (rounds != 1)}. The machine's "
        f"matrix-product rate in each round: {rates} GFLOP/s."
    )


def _short(part: Json) -> str:
    rows = [
        [
            tool["name"],
            f"{tool['ms_per_intervention']:.2f}",
            f"{tool['times_affectscope']:.1f}",
            f"{tool['share_of_product_rate']:.0%}",
            f"{tool['interventions_run']:,} of {tool['interventions']:,}",
        ]
        for tool in part["tools"]
    ]
    header = ["tool", "ms an intervention", "times affectscope"]
    worst = max(part["largest_logit_differences"].values())
    return (
        table([*header, "share of the product rate", "interventions run"], rows)
        + f"\n\nLargest difference of a label logit between two tools: {worst:.1e}."
    )


def _agreement(part: Json, tolerance: float) -> str:
    differences = part["largest_logit_differences"]
    pair, worst = max(differences.items(), key=lambda item: item[1])
    ours = {k: v for k, v in differences.items() if k.startswith("affectscope and")}
    told = ", ".join(f"{name.split(' and ')[1]} {value:.1e}" for name, value in ours.items())
    return (
        f"All tools agree on the interventions that they have in common: the largest difference of "
        f"a label logit is {worst:.1e} ({pair}), where {tolerance:g} would end the run. "
        f"affectscope against each: {told}."
    )


def _points(points: Sequence[Json], x_name: str) -> str:
    header = [
        x_name,
        "tool",
        "ms an intervention",
        "seconds",
        "interventions",
        "of them run",
        "peak memory, MiB",
        "targets",
        "shared tokens",
        "own tokens (mean)",
    ]
    rows = [
        [
            f"{point['x']:,}",
            NAMES[point["tool"]],
            f"{point['ms_per_intervention']:.2f}",
            f"{point['seconds']:,.1f}",
            f"{point['interventions']:,}",
            f"{point['interventions_run']:,}",
            f"{point['peak_bytes'] / MIB:,.0f}",
            f"{point['items']}",
            f"{point['shared_tokens']}",
            f"{point['own_tokens']:.0f}",
        ]
        for point in points
    ]
    return table(header, rows)


def _items(points: Sequence[Json]) -> str:
    header = [
        "items",
        "ms an item",
        "seconds",
        "interventions an item",
        "peak memory, MiB",
        "of it once the model was loaded, MiB",
    ]
    rows = [
        [
            f"{point['items']:,}",
            f"{point['ms_per_item']:.1f}",
            f"{point['seconds']:,.1f}",
            f"{point['interventions_per_item']}",
            f"{point['peak_bytes'] / MIB:,.0f}",
            f"{point['loaded_bytes'] / MIB:,.0f}",
        ]
        for point in points
    ]
    return table(header, rows)


def _rounding(rows: Sequence[Json]) -> str:
    header = ["logits of", "against", "largest difference", "median"]
    return table(
        header,
        [
            [row["one"], row["other"], f"{row['largest']:.3f}", f"{row['median']:.4f}"]
            for row in rows
        ],
    )


def _gpu(part: Json) -> str:
    if "why_not" in part:
        return f"Not measured: {part['why_not']}."
    header = [
        "tool",
        "interventions a second",
        "times affectscope",
        "peak GPU memory, GiB",
        "share of the product rate",
        "interventions run",
        "in one pass",
    ]
    rows = [
        [
            tool["name"],
            f"{1000 / tool['ms_per_intervention']:,.0f}",
            f"{tool['times_affectscope']:.1f}",
            f"{tool.get('peak_gpu_bytes', 0) / 2**30:.1f}",
            f"{tool['share_of_product_rate']:.0%}",
            f"{tool['interventions_run']:,} of {tool['interventions']:,}",
            tool["pass"],
        ]
        for tool in part["tools"]
    ]
    rates = ", ".join(f"{rate / 1e12:,.0f}" for rate in part["product_rates"])
    worst = max(part["largest_logit_differences"].values())
    return (
        f"{table(header, rows)}\n\n{part['job']} {part['gpu']}, CUDA {part['torch_cuda']}; "
        f"matrix products at {rates} TFLOP/s. Largest difference of a label logit between two "
        f"tools: {worst:.1e}, which in bfloat16 is rounding."
    )
