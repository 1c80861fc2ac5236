"""The benchmarks' job, batches and arithmetic, against independent truths."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from benchmarks.arithmetic import Shape, first_block
from benchmarks.batches import batches_by_length, padding_share
from benchmarks.job import SITES, Job, Patch, patching_job, spread, windows
from benchmarks.run import PARTS, RESULTS, SECTIONS, parse
from benchmarks.table import markdown
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from affectscope.engine import Intervention, Replace
from affectscope.engine.starts import start_of

PROMPTS = [[1, 2, 3], [4, 5], [6, 7, 8, 9], [1, 3]]
CONFIG = LlamaConfig(
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=6,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    vocab_size=50,
)


def job(n_patches: int | None = None) -> Job:
    return patching_job(PROMPTS, [5, 6], n_layers=6, n_targets=2, n_patches=n_patches)


def test_windows_fit_wholly():
    assert windows(6) == [(0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5)]


def test_a_job_has_every_window_at_every_site_for_each_source():
    one, two = job(), job(20)
    assert len(one.patches) == 12 == len({(p.site, p.layers) for p in one.patches})
    assert {p.shift for p in two.patches} == {1, 2}
    assert len(set(two.patches)) == 20
    assert one.n_interventions == 24


def test_no_prompt_is_its_own_source():
    whole = job(36)
    assert all(whole.source(t, p) != t for t in range(2) for p in whole.patches)
    with pytest.raises(AssertionError):
        job(37)


def test_a_job_survives_json():
    assert Job.from_json(job().to_json()) == job()


def test_a_spread_has_every_site_and_all_depths():
    whole = job(24)
    chosen = [whole.patches[i] for i in spread(whole, 6, 0)]
    for site in SITES:
        early, late = (
            p.layers[0]
            for p in sorted((p for p in chosen if p.site == site), key=lambda p: p.layers)
        )
        assert early < 2 <= late
    assert spread(whole, 6, 0) == spread(whole, 6, 0) != spread(whole, 6, 1)


def test_batches_end_in_the_last_token_and_hold_every_prompt_once():
    batches = batches_by_length(PROMPTS, 3, torch.device("cpu"))
    seen = {}
    for batch in batches:
        for row, ids, mask in zip(batch.rows, batch.ids, batch.mask, strict=True):
            seen[row] = ids[mask.bool()].tolist()
            assert mask[-1] == 1
    assert [seen[row] for row in range(4)] == PROMPTS
    assert padding_share([[1, 2], [1]], 2) == 0.25


def test_the_operations_of_a_full_pass_are_those_that_torch_counts():
    model = LlamaForCausalLM._from_config(CONFIG, attn_implementation="eager").eval()
    length = 7
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(torch.ones((1, length), dtype=torch.long), logits_to_keep=1, use_cache=False)
    by_kind = counter.get_flop_counts()["Global"]
    attention = by_kind.pop(torch.ops.aten.bmm)
    shape = Shape.of(CONFIG)
    causal = 6 * 4 * (length * (length + 1) // 2) * shape.d_heads
    # torch multiplies every query with every key; a causal model needs those up to itself
    assert attention == 6 * 4 * length**2 * shape.d_heads
    assert shape.full_pass(length) == sum(by_kind.values()) + causal


@pytest.mark.parametrize("site", SITES)
def test_a_patch_is_counted_from_the_block_where_the_engine_starts_it(site):
    patch = Patch(1, site, (1, 2, 3))
    edits = [Replace(site, layer, value=torch.zeros(32)) for layer in patch.layers]
    assert first_block(patch) == start_of(Intervention(edits)).layer


def test_the_documented_results_are_those_of_the_run():
    root = Path(__file__).parents[2]
    results = json.loads((root / "benchmarks/results/results.json").read_text(encoding="utf-8"))
    text = (root / "docs/benchmarks.md").read_text(encoding="utf-8")
    for part in (results["cpu"], *results["by_template"]):
        tools = {tool["tool"]: tool for tool in part["tools"]}
        peers = (tools["transformer_lens"], tools["nnsight"])
        fastest = min(peers, key=lambda tool: tool["ms_per_intervention"])
        ours, theirs = (tool["ms_per_intervention"] for tool in (tools["affectscope"], fastest))
        n = tools["affectscope"]["interventions"] // int(part["job"].split()[0])
        row = rf"\| {n} \| {ours:.2f} \| {theirs:.1f} \| (\d+) \|"
        shown = re.search(row, text)
        assert shown, (n, ours, theirs)
        assert int(shown[1]) == round(fastest["times_affectscope"])


def test_a_part_has_its_own_place_and_only_its_tables():
    whole, part = parse([]), parse(["--only", "cpu,by_items"])
    assert (whole.out, whole.only) == (RESULTS, None)
    assert part.only == ["cpu", "by_items"]
    assert part.out == PARTS != RESULTS
    with pytest.raises(SystemExit):
        parse(["--only", "cpu,speed"])
    folder = Path(__file__).parents[2] / RESULTS
    results = json.loads((folder / "results.json").read_text())
    assert set(SECTIONS) <= set(results)
    everything = markdown(results)
    assert everything == (folder / "table.md").read_text()
    kept = {name: results[name] for name in ("setting", "machine", "by_items")}
    some = markdown(kept)
    assert [line for line in some.splitlines() if line.startswith("## ")] == ["## Items"]
    assert some.split("## Items")[1].strip() in everything
