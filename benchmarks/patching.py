"""The sweep against plain batched forward passes, on the same patching job, in one run.

The job: activation patching of the default model, windows of 3 layers centred on every layer, three
sites, clean passes of sources and targets included. The plain side is Hugging Face as one would
write it with care: prompts batched by length and padded on the left, one batched pass for each
intervention with a hook on each edited module, and only the last position's logits computed. The
two sides take turns, so that a noisy machine slows both.

    python benchmarks/patching.py [--pairs 16] [--model smollm2-135m] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

import affectscope as afs
from affectscope.analyses.windows import window

SITES = ("attn_out", "mlp_out", "resid_post")
SPAN = 3


def modules_of(model: torch.nn.Module, site: str) -> list[torch.nn.Module]:
    """The modules that output a site, of a Llama-family model."""
    return [
        {"attn_out": block.self_attn, "mlp_out": block.mlp, "resid_post": block}[site]
        for block in model.model.layers
    ]


def first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    """The activation of a module's output."""
    return output[0] if isinstance(output, tuple) else output


@torch.no_grad()
def plain_job(
    lm: afs.LanguageModel, sources: Sequence[str], targets: Sequence[str], label_ids: Sequence[int]
) -> Tensor:
    """Label logits [pair, intervention, label] by one batched full pass for each intervention."""
    order = sorted(range(len(targets)), key=lambda i: len(targets[i]))
    tokenizer, model = lm.tokenizer, lm.model
    tokenizer.padding_side = "left"

    def encode(texts: Sequence[str]) -> dict[str, Tensor]:
        return dict(tokenizer(list(texts), return_tensors="pt", padding=True))

    kept: dict[tuple[str, int], Tensor] = {}
    handles = [
        module.register_forward_hook(
            lambda _m, _i, out, key=(site, layer): kept.__setitem__(key, first(out)[:, -1].clone())
        )
        for site in SITES
        for layer, module in enumerate(modules_of(model, site))
    ]
    model(**encode([sources[i] for i in order]), logits_to_keep=1, use_cache=False)
    for handle in handles:
        handle.remove()
    batch = encode([targets[i] for i in order])
    model(**batch, logits_to_keep=1, use_cache=False)  # the targets' clean pass
    columns = []
    for site in SITES:
        modules = modules_of(model, site)
        for centre in range(len(modules)):
            handles = []
            for layer in window(centre, SPAN, len(modules)):

                def patch(_m, _i, out, value=kept[site, layer]):
                    first(out)[:, -1] = value
                    return out

                handles.append(modules[layer].register_forward_hook(patch))
            logits = model(**batch, logits_to_keep=1, use_cache=False).logits[:, -1]
            columns.append(logits[:, list(label_ids)].float())
            for handle in handles:
                handle.remove()
    back = np.argsort(order)
    return torch.stack(columns, dim=1)[torch.from_numpy(back)]


def sweep_job(
    lm: afs.LanguageModel, sources: Sequence[str], targets: Sequence[str], label_ids: Sequence[int]
) -> Tensor:
    """The same by the counterfactual sweep."""
    states = lm.capture(sources, sites=SITES)
    interventions = [
        afs.Intervention(
            [
                afs.Replace(site, layer, value=states.at(site, layer))
                for layer in window(centre, SPAN, lm.n_layers)
            ]
        )
        for site in SITES
        for centre in range(lm.n_layers)
    ]
    return lm.intervene(targets, interventions, label_ids=label_ids).logits


def timed(job: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Seconds, and what the job gave."""
    began = time.perf_counter()
    result = job()
    return time.perf_counter() - began, result


def main() -> None:
    """Measure, print a table, and write the figures when asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    lm = afs.load_model(options.model, dtype="float32")
    task = afs.EmotionTask(lm)
    texts = afs.load_corpus("vignettes").sample(2 * options.pairs, 0).texts
    prompts = task.prompts(texts)
    sources, targets = prompts[: options.pairs], prompts[options.pairs :]
    arguments = (lm, sources, targets, task.label_ids)
    sweep_job(*arguments)  # warm-up
    plain_seconds, sweep_seconds, difference = [], [], 0.0
    for _ in range(options.rounds):
        seconds, ours = timed(lambda: sweep_job(*arguments))
        sweep_seconds.append(seconds)
        seconds, plain = timed(lambda: plain_job(*arguments))
        plain_seconds.append(seconds)
        difference = max(difference, float((ours - plain).abs().max()))
    n = options.pairs * lm.n_layers * len(SITES)
    figures = {
        "model": lm.name,
        "device": lm.pretrained.device,
        "threads": torch.get_num_threads(),
        "cpu": platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(),
        "pairs": options.pairs,
        "interventions": n,
        "tokens_per_prompt": float(np.mean([len(ids) for ids in lm.encode(targets)])),
        "plain_ms": 1000 * statistics.median(plain_seconds) / n,
        "sweep_ms": 1000 * statistics.median(sweep_seconds) / n,
        "ratio": statistics.median(
            p / s for p, s in zip(plain_seconds, sweep_seconds, strict=True)
        ),
        "largest_logit_difference": difference,
    }
    print(
        f"{figures['model']} on {figures['device']} ({figures['threads']} threads), "
        f"{n:,} interventions on {options.pairs} pairs, "
        f"{figures['tokens_per_prompt']:.0f} tokens a prompt, {options.rounds} rounds\n"
        f"  plain batched passes   {figures['plain_ms']:8.2f} ms an intervention\n"
        f"  sweep                  {figures['sweep_ms']:8.2f} ms an intervention\n"
        f"  ratio                  {figures['ratio']:8.1f} times faster\n"
        f"  largest difference     {difference:8.1e} of a logit"
    )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
