"""The card of a steering vector: a README that people and the Hub read.

Whatever is printed is put into a Markdown code span, unless this module made it itself, since names
and facts may come from a stranger's file: a code span shows text and does nothing else. The YAML at
the top takes nothing of theirs but a model's name of safe characters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined

from affectscope.vectors.folder import FILE_NAME
from affectscope.vectors.hub import is_repo_id

if TYPE_CHECKING:
    from affectscope.vectors.vector import SteeringVector

_LONGEST = 300
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BACKTICKS = re.compile(r"`+")

_FACTS = {
    "model": "Model",
    "revision": "Revision",
    "model_sha256": "SHA-256 of its weights",
    "d_model": "Length of an activation",
    "n_layers": "Layers of the model",
    "corpus": "Corpus",
    "items": "Items",
    "seed": "Seed",
    "kind": "Kind of direction",
    "read": "Read at",
    "moves": "Made to move",
    "held": "Made to leave alone",
}
_RESULTS = {"effect": "Effect", "damage": "Damage"}

_HOOKS = {
    "resid_post": (
        "model.model.layers[layer]",
        "lambda m, i, out, v=vector: out + v.to(out)",
    ),
    "mlp_out": (
        "model.model.layers[layer].mlp",
        "lambda m, i, out, v=vector: out + v.to(out)",
    ),
    "attn_out": (
        "model.model.layers[layer].self_attn",
        "lambda m, i, out, v=vector: (out[0] + v.to(out[0]), *out[1:])",
    ),
}
"""Where the example puts its hook, and what the hook does, at each site of a Llama."""


class Own(str):
    """Markdown that this module made itself, which is printed as it is."""


def model_card(vector: SteeringVector) -> str:
    """The card: YAML for the Hub, where the vector comes from, what it does, how to use it."""
    template = files(__package__).joinpath("card.md.j2").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=False,  # noqa: S701 - HTML's escapes are not Markdown's; finalize does these
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    about = vector.about
    base = _base_model(about)
    return environment.from_string(template).render(
        vector=vector,
        front_matter=Own(_front_matter(base)),
        layers=_listed([f"{layer}" for layer in vector.layers]),
        norms=_listed([f"{norm:.4g}" for norm in vector.norms.tolist()]),
        coefficient=f"{vector.coefficient:.4g}",
        facts=_rows(_own(_FACTS), about),
        results=_rows(_own(_RESULTS), about),
        others=_rows({key: key for key in about if key not in _FACTS | _RESULTS}, about),
        example=Own(example_code(vector.site, base or "OWNER/MODEL")),
    )


def example_code(site: str, model: str) -> str:
    """Ten lines that add a vector with transformers and safetensors alone.

    Args:
        site: The vector's.
        model: A model's name, which must be safe inside a Python string.
    """
    module, hook = _HOOKS[site]
    return f"""\
import json
from safetensors import safe_open
from transformers import AutoModelForCausalLM

with safe_open("{FILE_NAME}", "pt") as file:
    facts, directions, norms = file.metadata(), *map(file.get_tensor, ("directions", "norms"))
layers = json.loads(facts["layers"])
added = (float(facts["coefficient"]) * norms / len(layers))[:, None] * directions
model = AutoModelForCausalLM.from_pretrained("{model}")
for layer, vector in zip(layers, added):
    {module}.register_forward_hook({hook})
"""


def _base_model(about: Mapping[str, Any]) -> str | None:
    """The model's name on the Hub, where its revision shows that it came from there."""
    name, revision = about.get("model"), about.get("revision")
    known = isinstance(name, str) and is_repo_id(name)
    from_hub = isinstance(revision, str) and _COMMIT.fullmatch(revision)
    return name if known and from_hub else None


def _front_matter(base_model: str | None) -> str:
    lines = [
        "library_name: affectscope",
        "tags:",
        *(f"- {tag}" for tag in ("steering-vector", "activation-steering", "emotion")),
    ]
    if base_model:
        lines += [f'base_model: "{base_model}"', "base_model_relation: adapter"]
    return "\n".join(["---", *lines, "---"])


def _rows(labels: Mapping[str, str], about: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(labels[key], about[key]) for key in labels if about.get(key) is not None]


def _own(labels: Mapping[str, str]) -> dict[str, str]:
    return {key: Own(label) for key, label in labels.items()}


def _listed(values: list[str]) -> Own:
    return Own(", ".join(values))


def _shown(value: Any) -> str:
    """A value as Markdown; what this module has not made itself cannot do anything there."""
    if isinstance(value, Own):
        return value
    if isinstance(value, Mapping) and not _is_estimate(value):
        return "; ".join(f"{_code(key)} {_one(entry)}" for key, entry in value.items())
    if isinstance(value, list) and value:
        return ", ".join(map(_one, value))
    return _one(value)


def _one(value: Any) -> str:
    if isinstance(value, Mapping) and _is_estimate(value):
        number, low, high = (_number(value[key]) for key in ("value", "low", "high"))
        return _code(f"{number} [{low}, {high}]")
    return _code(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _is_estimate(value: Mapping[str, Any]) -> bool:
    """Whether it is an estimate with its interval, as affectscope.stats writes it."""
    return {"value", "low", "high"} <= value.keys()


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else str(value)


def _code(text: str) -> str:
    """A code span of one line, with more backticks around it than it has in a row inside."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split()) or "(nothing)"
    line = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
    fence = "`" * (max(map(len, _BACKTICKS.findall(line)), default=0) + 1)
    space = " " if "`" in line else ""
    return f"{fence}{space}{line}{space}{fence}"
