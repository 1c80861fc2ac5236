"""An exported steering vector in llama.cpp and in transformers, on the same weights.

`python -m benchmarks.llama_cpp --python PATH --gguf MODEL.gguf`, where PATH is a Python with
llama-cpp-python and gguf. transformers reads the same GGUF file, dequantised, and adds the vector
by a plain hook. What is compared is the *change* of the next token's logits. llama.cpp rounds
activations to 8 bits before it multiplies them with quantised weights, so that logits differ
without any vector; with `--float32` both get the dequantised weights, and nothing is rounded. The
same vector added one layer later shows that the
comparison can tell layers apart.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
PROMPT = "The letter came this morning. When she had read it, she felt"
GLAD = ("She was so happy that she laughed.", "What a wonderful day!", "He was full of joy.")
SAD = ("She was so sad that she wept.", "What a terrible day!", "He was full of grief.")
N_WRITTEN = 24

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a program gives for one vector, or for none."""

    logits: np.ndarray
    """Of the next token, `[vocabulary]`."""
    written: list[int]
    """Token ids that it writes, greedily."""


def main() -> None:
    """Compare, and print; or, in the other environment, answer."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", type=Path, help="a Python with llama-cpp-python and gguf")
    parser.add_argument("--gguf", type=Path, required=True, help="the model")
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--float32", action="store_true", help="dequantise the model for both")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _work(options.gguf, options.worker)
        return
    if options.python is None:
        parser.error("--python is missing")
    with tempfile.TemporaryDirectory() as folder:
        gguf = options.gguf.resolve()
        if options.float32:
            gguf = _float32_copy(gguf, Path(folder) / f"{gguf.stem}.float32.gguf")
        _compare(options.python, gguf, options.prompt)


# In the environment with llama-cpp-python, which has no torch


def _work(gguf: Path, folder: Path) -> None:
    """Answer for the prompt in `job.json`, without a vector and with each control vector."""
    import llama_cpp  # noqa: PLC0415

    job = json.loads((folder / "job.json").read_text())
    f32 = llama_cpp.GGML_TYPE_F32
    model = llama_cpp.Llama(
        str(gguf), n_ctx=256, verbose=False, type_k=f32, type_v=f32, n_threads=1, n_threads_batch=1
    )
    answers: dict[str, np.ndarray] = {}
    for name in (None, *job["vectors"]):
        _set_control_vector(llama_cpp, model, None if name is None else folder / f"{name}.gguf")
        answer = _llama_answer(llama_cpp, model, job["tokens"])
        answers[f"{name}.logits"] = answer.logits
        answers[f"{name}.written"] = np.array(answer.written)
    np.savez(folder / "answers.npz", **answers)


def _set_control_vector(llama_cpp: Any, model: Any, path: Path | None) -> None:
    """Give llama.cpp what its own loader would read from the file; None takes it away."""
    names = ("llama_set_adapter_cvec", "llama_apply_adapter_cvec", "llama_control_vector_apply")
    apply = next(getattr(llama_cpp, name) for name in names if hasattr(llama_cpp, name))
    d_model = llama_cpp.llama_model_n_embd(model.model)
    n_layers = llama_cpp.llama_model_n_layer(model.model)
    if path is None:
        failed = apply(model.ctx, None, 0, d_model, 1, n_layers)
    else:
        from gguf import GGUFReader  # noqa: PLC0415

        data = np.zeros((n_layers - 1, d_model), dtype=np.float32)  # begins with layer 1
        for tensor in GGUFReader(path).tensors:
            data[int(tensor.name.removeprefix("direction.")) - 1] += tensor.data
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        failed = apply(model.ctx, pointer, data.size, d_model, 1, n_layers)
    if failed:
        raise SystemExit(f"llama.cpp refused the control vector {path}")


def _llama_answer(llama_cpp: Any, model: Any, tokens: list[int]) -> Answer:
    model.reset()
    model.eval(tokens)
    first, written = _llama_logits(llama_cpp, model), []
    logits = first
    for _ in range(N_WRITTEN):
        written.append(int(logits.argmax()))
        model.eval(written[-1:])
        logits = _llama_logits(llama_cpp, model)
    return Answer(first, written)


def _llama_logits(llama_cpp: Any, model: Any) -> np.ndarray:
    last = llama_cpp.llama_get_logits_ith(model.ctx, -1)
    return np.ctypeslib.as_array(last, shape=(model.n_vocab(),)).copy()


# In the environment of affectscope


def _compare(python: Path, gguf: Path, prompt: str) -> None:
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

    where = {"gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **where)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **where)
    vectors = _vectors(model.eval().requires_grad_(False), tokenizer)
    tokens = tokenizer(prompt).input_ids
    theirs = _ask(python, gguf, tokens, vectors)
    ours = {key: _answer(model, tokens, vectors.get(key)) for key in theirs}
    off = {key: _logits(model, tokens, vector, shift=1) for key, vector in vectors.items()}
    print(f"{gguf.name}, {len(tokens)} tokens: {prompt}\n")
    _print_changes(ours, theirs, off)
    _print_texts(ours, theirs, tokenizer)


def _float32_copy(source: Path, target: Path) -> Path:
    """The same model with all its weights in float32."""
    from gguf import GGUFReader, GGUFValueType, GGUFWriter  # noqa: PLC0415
    from gguf.quants import dequantize  # noqa: PLC0415

    reader = GGUFReader(source)
    writer = GGUFWriter(target, reader.fields["general.architecture"].contents())
    # the writer says these itself, and the last two are of the quantisation
    said = {"general.architecture", "general.file_type", "general.quantization_version"}
    for name, entry in reader.fields.items():
        if name not in said and not name.startswith("GGUF."):
            inner = entry.types[-1] if entry.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, entry.contents(), entry.types[0], sub_type=inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def _ask(python: Path, gguf: Path, tokens: list[int], vectors: Json) -> dict[str | None, Answer]:
    """What llama.cpp gives, without a vector and with each exported one."""
    from affectscope.vectors import write_gguf  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for key, vector in vectors.items():
            write_gguf(vector, folder / f"{key}.gguf")
        (folder / "job.json").write_text(json.dumps({"tokens": tokens, "vectors": list(vectors)}))
        worker = ["-m", "benchmarks.llama_cpp", "--gguf", str(gguf), "--worker", str(folder)]
        subprocess.run([str(python), *worker], cwd=ROOT, check=True, stdout=sys.stderr)
        with np.load(folder / "answers.npz") as saved:
            return {
                key: Answer(saved[f"{key}.logits"], saved[f"{key}.written"].tolist())
                for key in (None, *vectors)
            }


def _vectors(model: Any, tokenizer: Any) -> Json:
    """Mean differences between glad and sad sentences, at one layer and at several."""
    from torch.nn.functional import normalize  # noqa: PLC0415

    from affectscope.vectors import SteeringVector  # noqa: PLC0415

    (glad, glad_norms), (sad, sad_norms) = (_means(model, tokenizer, t) for t in (GLAD, SAD))
    directions, norms = normalize(glad - sad, dim=-1), (glad_norms + sad_norms) / 2
    last = model.config.num_hidden_layers - 2  # so that there is a layer to be off by
    middle = (last // 3, last // 2, 2 * last // 3)
    places = {"first": (1,), "middle": middle, "last": (last,), "all": range(1, last + 1)}
    vectors = {
        key: SteeringVector(
            key, "resid_post", tuple(at), directions[list(at)], norms[list(at)], coefficient=0.5
        )
        for key, at in places.items()
    }
    return {**vectors, "middle, negative": vectors["middle"].times(-1)}


def _means(model: Any, tokenizer: Any, texts: Sequence[str]) -> tuple[Any, Any]:
    """Mean activation `[layer, d_model]` and mean length `[layer]` of the residual stream."""
    import torch  # noqa: PLC0415

    states = []
    for text in texts:
        ids = tokenizer(text, return_tensors="pt").input_ids
        hidden = model(ids, output_hidden_states=True).hidden_states
        # the embedding is no layer's; the last entry has been through the final norm; the first
        # token's state is many times as long as the others
        states.append(torch.stack([state[0, 1:] for state in hidden[1:-1]]))
    tokens = torch.cat(states, dim=1)
    return tokens.mean(1), tokens.norm(dim=-1).mean(1)


@contextmanager
def _added(model: Any, vector: Any, shift: int) -> Iterator[None]:
    """Plain hooks while the block runs; a shift moves them to later layers."""
    places = () if vector is None else zip(vector.layers, vector.added(), strict=True)
    handles = [
        model.model.layers[layer + shift].register_forward_hook(
            lambda _block, _args, out, added=added: out + added
        )
        for layer, added in places
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _logits(model: Any, tokens: list[int], vector: Any, *, shift: int = 0) -> np.ndarray:
    import torch  # noqa: PLC0415

    with _added(model, vector, shift):
        return model(torch.tensor([tokens])).logits[0, -1].numpy()


def _answer(model: Any, tokens: list[int], vector: Any) -> Answer:
    written: list[int] = []
    for _ in range(N_WRITTEN):
        written.append(int(_logits(model, [*tokens, *written], vector).argmax()))
    return Answer(_logits(model, tokens, vector), written)


def _print_changes(
    ours: dict[str | None, Answer], theirs: dict[str | None, Answer], off: dict[str, np.ndarray]
) -> None:
    clean, their_clean = ours[None].logits, theirs[None].logits
    print(
        f"without a vector: correlation of logits {np.corrcoef(clean, their_clean)[0, 1]:.6f}, "
        f"largest difference {np.abs(clean - their_clean).max():.1e}\n"
    )
    print("| vector | transformers | llama.cpp | correlation | relative error | one layer off |")
    print("|---|---|---|---|---|---|")
    for key, shifted in off.items():
        mine, other = ours[key].logits - clean, theirs[key].logits - their_clean
        print(
            f"| {key} | {np.abs(mine).max():.3f} | {np.abs(other).max():.3f} "
            f"| {np.corrcoef(mine, other)[0, 1]:.6f} | {_error(mine, other):.1e} "
            f"| {_error(shifted - clean, other):.1e} |"
        )
    print(
        "\nThe first two columns are the largest change of a logit of the next token; then the "
        "correlation\nof the changes, their relative error, and that error where transformers adds "
        "a layer later."
    )


def _error(expected: np.ndarray, got: np.ndarray) -> float:
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


def _print_texts(
    ours: dict[str | None, Answer], theirs: dict[str | None, Answer], tokenizer: Any
) -> None:
    for key in ours:
        print(f"\n{key or 'without a vector'}")
        for name, side in (("transformers", ours), ("llama.cpp", theirs)):
            print(f"  {name}: {tokenizer.decode(side[key].written)!r}")


if __name__ == "__main__":
    main()
