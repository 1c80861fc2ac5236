"""The map of families: what is refused and why, and how a family is added."""

from __future__ import annotations

import re
import traceback

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
)

import affectscope.engine as eng
import reference
from affectscope.errors import SelfCheckError, UnsupportedArchitectureError, UsageError
from affectscope.models import ARCHITECTURES, Architecture, access_for, architectures
from affectscope.models.architectures import register_architecture
from affectscope.models.unmapped import suggest
from tiny import VARIANTS, loaded, tiny_family, tiny_variant

VOCABULARY = 60
PROMPTS = ["Context: I lost it. Answer:", "Context: the train came late, early, late. Answer:"]
LABELS = [3, 8, 20]
LLAMA_LIKE = ARCHITECTURES["llama"]


@pytest.fixture
def open_map(monkeypatch):
    """A copy of the map, to which a test may add."""
    families = dict(ARCHITECTURES)
    monkeypatch.setattr(architectures, "_FAMILIES", families)
    monkeypatch.setattr(architectures, "ARCHITECTURES", families)
    return families


def refusal(model) -> UnsupportedArchitectureError:
    with pytest.raises(UnsupportedArchitectureError) as caught:
        access_for(model)
    assert caught.value.expected
    assert caught.value.remedy
    return caught.value


def tiny_multimodal():
    text = tiny_family("gemma3_text", VOCABULARY, num_key_value_heads=2, head_dim=8).config
    vision = AutoConfig.for_model(
        "siglip_vision_model",
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    config = AutoConfig.for_model(
        "gemma3",
        text_config=text.to_dict(),
        vision_config=vision.to_dict(),
        mm_tokens_per_image=4,
        image_token_index=50,
        boi_token_index=51,
        eoi_token_index=52,
    )
    return AutoModelForCausalLM.from_config(config).eval()


class TestRefusals:
    @pytest.mark.parametrize("model_type", ["gemma3_text", "gemma2"])
    def test_bidirectional_attention(self, model_type):
        model = tiny_family(
            model_type, VOCABULARY, num_key_value_heads=2, use_bidirectional_attention=True
        )
        assert "earlier tokens see later ones" in refusal(model).message

    @pytest.mark.parametrize("model_type", ["llama", "qwen2", "gpt2", "gpt_neox"])
    def test_attention_that_is_switched_to_bidirectional(self, model_type):
        """Embedding models made of these families say so with is_causal."""
        model = tiny_family(model_type, VOCABULARY)
        access_for(model)
        model.config.is_causal = False
        assert "bidirectional" in refusal(model).message

    def test_what_bidirectional_attention_would_do(self):
        """The reason of the refusal: a change of the last token reaches earlier ones."""
        model = tiny_family(
            "gemma3_text", VOCABULARY, num_key_value_heads=2, use_bidirectional_attention=True
        )
        first, other = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[5, 6, 7, 9]])
        a, b = model(input_ids=first).logits, model(input_ids=other).logits
        assert (a[0, 0] - b[0, 0]).abs().max() > 0.01

    def test_cross_attention(self):
        error = refusal(tiny_family("gpt2", VOCABULARY, add_cross_attention=True))
        assert "cross-attention" in error.message
        assert "add_cross_attention" in error.remedy

    def test_a_wrapper_with_images(self):
        model = tiny_multimodal()
        error = refusal(model)
        assert "Gemma3ForConditionalGeneration" in error.message
        assert "gemma3_text" in error.message
        assert "images" in error.message

    def test_the_remedy_for_a_wrapper_works(self):
        """Its language model by itself, as the message says."""
        wrapper = tiny_multimodal()
        text = AutoModelForCausalLM.from_config(wrapper.config.get_text_config()).eval()
        text.base_model.load_state_dict(wrapper.model.language_model.state_dict())
        text.get_output_embeddings().load_state_dict(wrapper.lm_head.state_dict())
        access = access_for(text.requires_grad_(False))
        ids = torch.arange(2, 12)[None]
        hidden = access.backbone(input_ids=ids).last_hidden_state
        with torch.no_grad():
            assert torch.allclose(access.unembed(hidden), wrapper(input_ids=ids).logits, atol=1e-5)

    def test_an_encoder_with_a_decoder(self):
        config = AutoConfig.for_model(
            "t5", vocab_size=VOCABULARY, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2
        )
        assert "encoder" in refusal(AutoModel.from_config(config)).message

    def test_blocks_of_another_kind(self):
        assert "kind: linear_attention" in refusal(tiny_family("mamba", VOCABULARY)).message
        model = tiny_family("qwen3", VOCABULARY, num_key_value_heads=2)
        model.config.layer_types = ["full_attention", "chunked_attention"] * 2
        assert "kind: chunked_attention" in refusal(model).message

    def test_a_factor_on_the_logits(self, open_map):
        model = tiny_family("cohere", VOCABULARY, num_key_value_heads=2, logit_scale=0.25)
        assert "multiplied by a factor (logit_scale)" in refusal(model).message
        open_map["cohere"] = LLAMA_LIKE
        assert "multiplied" in refusal(model).message
        model.config.logit_scale = 1.0
        access_for(model)

    def test_a_model_without_an_unembedding(self):
        config = tiny_family("llama", VOCABULARY).config
        config.pad_token_id = 1
        classifier = AutoModelForSequenceClassification.from_config(config)
        assert "no unembedding" in refusal(classifier).message

    def test_parts_that_are_not_where_the_map_says(self, open_map):
        bare = AutoModel.from_config(tiny_family("gpt2", VOCABULARY).config)
        error = refusal(bare)
        assert "there is no 'transformer' in its GPT2Model" in error.message
        assert "AutoModelForCausalLM" in error.remedy
        open_map["gpt_neox"] = LLAMA_LIKE
        neox = tiny_family("gpt_neox", VOCABULARY)
        assert "there is no 'model'" in refusal(neox).message
        right = {"sites": ARCHITECTURES["gpt_neox"].sites, "projection": "attention.dense"}
        open_map["gpt_neox"] = Architecture("gpt_neox", "embed_in", "final_layer_norm", **right)
        assert "'embed_in' is no list of blocks" in refusal(neox).message

    def test_heads_that_differ_from_layer_to_layer(self, monkeypatch):
        model = tiny_family("llama", VOCABULARY)

        def ambiguous(_config):
            raise AttributeError("'num_attention_heads' may vary across layers")

        monkeypatch.setattr(type(model.config), "num_attention_heads", property(ambiguous))
        assert "no single num_attention_heads" in refusal(model).message


UNMAPPED = {
    "starcoder2": {"num_key_value_heads": 2},  # biases
    "stablelm": {"num_key_value_heads": 2},
    "phi": {"num_key_value_heads": 2},  # parallel blocks
    "gptj": {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_inner": 48, "rotary_dim": 4},
    "glm4": {"num_key_value_heads": 2, "head_dim": 8},  # pre- and post-norms under other names
    "olmo3": {"num_key_value_heads": 2, "sliding_window": 6},  # post-norms
    "mixtral": {"num_key_value_heads": 2, "num_local_experts": 4},  # experts
}
"""Families that are not in the map, with parts in different places."""


class TestAddingAFamily:
    @pytest.mark.parametrize("model_type", UNMAPPED)
    def test_the_entry_in_the_message_works(self, model_type, open_map, tokenizer):
        model = tiny_family(model_type, len(tokenizer), **UNMAPPED[model_type])
        error = refusal(model)
        assert f"'{model_type}' ({type(model).__name__}) is not in the map" in error.message
        assert all(family in error.expected for family in ("llama", "gpt2", "gemma3_text"))
        assert "affectscope models check" in error.remedy
        assert "strict=True" in error.remedy
        code = re.search(r"^    from .*?^    \)$", error.remedy, re.DOTALL | re.MULTILINE)
        exec(re.sub("^    ", "", code[0], flags=re.MULTILINE), {})  # noqa: S102 - as a user does
        lm = loaded(model, tokenizer)
        edits = [eng.Zero(site, 1) for site in lm.reader.access.sites]
        sweep = lm.intervene(
            PROMPTS, [eng.Intervention([edit]) for edit in edits], label_ids=LABELS
        )
        for row, ids in enumerate(lm.encode(PROMPTS)):
            clean = reference.full_passes(model, ids, [[]], LABELS)[0]
            assert (sweep.clean[row] - clean).abs().max() < 1e-4
            assert (sweep.logits[row] - clean).abs().amax(dim=-1).min() > 1e-3

    @pytest.mark.parametrize("variant", VARIANTS)
    def test_what_is_found_in_a_family_of_the_map_is_its_entry(self, variant):
        """Two ways to one entry: the map, and which modules' outputs add up."""
        model = tiny_variant(variant, VOCABULARY)
        found, entry = suggest(model), ARCHITECTURES[model.config.model_type]
        assert found.complete
        assert Architecture(**vars(found)) == entry

    def test_a_model_without_attention(self):
        error = refusal(tiny_family("rwkv", VOCABULARY))
        assert '"attn_out": "..."' in error.remedy
        assert "another kind of block" in error.remedy
        assert 'layers="blocks"' in error.remedy

    def test_a_factor_on_what_a_block_adds(self):
        model = tiny_family("granite", VOCABULARY, num_key_value_heads=2, residual_multiplier=0.5)
        assert "a factor in between" in refusal(model).remedy

    def test_a_model_that_does_not_run(self, monkeypatch):
        model = tiny_family("starcoder2", VOCABULARY, num_key_value_heads=2)
        monkeypatch.setattr(model.model, "forward", lambda *_, **__: 1 / 0)
        error = refusal(model)
        assert 'final_norm="norm"' in error.remedy
        assert '"mlp_out": "..."' in error.remedy
        assert "ZeroDivisionError" not in "".join(traceback.format_exception(error))

    def test_no_hook_stays(self):
        model = tiny_family("starcoder2", VOCABULARY, num_key_value_heads=2)
        refusal(model)
        for module in model.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks

    def test_registering_changes_the_map_for_good(self, open_map):
        model = tiny_family("starcoder2", VOCABULARY, num_key_value_heads=2)
        refusal(model)
        register_architecture("starcoder2", LLAMA_LIKE)
        register_architecture("starcoder2", LLAMA_LIKE)
        assert access_for(model).n_layers == 4
        assert open_map["starcoder2"] == LLAMA_LIKE

    def test_the_public_map_shows_what_is_registered(self, monkeypatch):
        monkeypatch.delitem(architectures._FAMILIES, "a new family", raising=False)
        monkeypatch.setitem(architectures._FAMILIES, "a new family", LLAMA_LIKE)
        assert ARCHITECTURES["a new family"] == LLAMA_LIKE
        with pytest.raises(TypeError):
            ARCHITECTURES["another"] = LLAMA_LIKE

    def test_a_family_of_the_map_is_not_replaced(self, open_map):
        other = Architecture("model", "layers", "norm", dict.fromkeys(LLAMA_LIKE.sites, ""), "x")
        with pytest.raises(UsageError, match="'llama' is in the map of sites, with other parts"):
            register_architecture("llama", other)
        assert open_map["llama"] == LLAMA_LIKE

    @pytest.mark.parametrize(
        ("sites", "words"),
        [
            ({"attn_out": "self_attn", "resid_post": ""}, "no mlp_out"),
            ({**LLAMA_LIKE.sites, "head_out[0]": "x"}, r"unknown names: head_out\[0\]"),
            ({**LLAMA_LIKE.sites, "resid_pre": ""}, "unknown names: resid_pre"),
            ({**LLAMA_LIKE.sites, "resid_post": "mlp"}, "not the block itself"),
        ],
    )
    def test_sites_have_to_be_right(self, open_map, sites, words):
        entry = Architecture("model", "layers", "norm", sites, "self_attn.o_proj")
        with pytest.raises(UsageError, match=words) as caught:
            register_architecture("starcoder2", entry)
        assert caught.value.remedy
        assert "starcoder2" not in open_map

    @pytest.mark.parametrize(
        "sites",
        [
            {"attn_out": "input_layernorm", "mlp_out": "mlp", "resid_post": ""},
            {"attn_out": "self_attn.v_proj", "mlp_out": "mlp", "resid_post": ""},
            {"attn_out": "self_attn", "mlp_out": "mlp.c_fc", "resid_post": ""},
        ],
    )
    def test_a_wrong_entry_is_found_out(self, open_map, tokenizer, sites):
        wrong = Architecture("model", "layers", "norm", sites, "self_attn.o_proj")
        register_architecture("starcoder2", wrong)
        model = tiny_family("starcoder2", len(tokenizer))
        with pytest.raises(SelfCheckError):
            loaded(model, tokenizer)

    def test_attention_of_a_family_with_post_norms_is_not_what_it_adds(self, open_map, tokenizer):
        """The mistake that is easily made."""
        open_map["olmo2"] = LLAMA_LIKE
        with pytest.raises(SelfCheckError, match="residual stream"):
            loaded(tiny_family("olmo2", len(tokenizer)), tokenizer)
