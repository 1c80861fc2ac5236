"""Options: where they come from, what they may be, and what is said when they may not."""

import inspect
from pathlib import Path

import pytest
import yaml

from affectscope.cli import main
from affectscope.errors import ConfigError, ModelError, UsageError
from affectscope.models import Check, load_model, load_pretrained
from affectscope.runs.config import RunConfig, resolve_config
from affectscope.runs.identity import Identity, differences
from affectscope.vocabulary import EXPERIMENTS


@pytest.fixture
def config_file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_flag_beats_the_environment_beats_the_file_beats_the_default(config_file):
    file = config_file("seed: 1\nlimit: 10\npairs: 30\n")
    environment = {"AFFECTSCOPE_SEED": "2", "AFFECTSCOPE_LIMIT": "20", "HOME": "/root"}
    config = resolve_config({"seed": "3", "folds": None}, file=file, environment=environment)
    assert (config.seed, config.limit, config.pairs, config.folds) == (3, 20, 30, 5)


def test_the_defaults_are_those_of_the_house():
    config = resolve_config({}, environment={})
    assert config.model == "smollm2-135m"
    assert config.experiments is None  # all that apply
    assert config.calibration == "batch"
    assert (config.limit, config.seed, config.pairs, config.span, config.folds) == (
        None,
        0,
        200,
        3,
        5,
    )
    assert config.run_path == Path("runs/smollm2-135m-vignettes")


def test_a_commands_own_defaults_come_last(config_file):
    defaults = {"calibration": "content-free"}
    assert resolve_config({}, environment={}, defaults=defaults).calibration == "content-free"
    environment = {"AFFECTSCOPE_CALIBRATION": "none"}
    config = resolve_config({}, environment=environment, defaults=defaults)
    assert config.calibration == "none"


@pytest.mark.parametrize("text", ["infer,patch", " patch , infer,patch,"])
def test_experiments_are_a_comma_list_in_the_order_of_the_house(text):
    assert resolve_config({"experiments": text}, environment={}).experiments == ("infer", "patch")


def test_experiments_may_be_a_list_in_a_file(config_file):
    file = config_file("experiments: [probe, infer]\n")
    assert resolve_config({}, file=file, environment={}).experiments == ("infer", "probe")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("spans", "5,1,5", (1, 5)),
        ("spans", "3", (3,)),
        ("positions", "-3", (-1, -3)),
        ("positions", "-2, -1", (-1, -2)),
        ("templates", "shots_1, shots_3", ("shots_1", "shots_3")),
        ("templates", "Well, well: {text} so,", ("Well, well: {text} so,",)),
        ("templates", None, None),
    ],
)
def test_lists_of_numbers_and_templates(key, text, value):
    assert getattr(resolve_config({key: text}, environment={}), key) == value


WRONG = [
    ("limit", "0", "1 or more"),
    ("limit", "ten", "1 or more"),
    ("limit", "2.5", "1 or more"),
    ("seed", "-1", "0 to 2^32 - 1"),
    ("seed", "4294967296", "0 to 2^32 - 1"),
    ("span", "2", "1, 3 or 5"),
    ("folds", "1", "2 or more"),
    ("pairs", "", "1 or more"),
    ("ablate_items", "0", "1 or more"),
    ("robust_items", "0", "1 or more"),
    ("spans", "1,2", "odd numbers"),
    ("spans", "", "odd numbers"),
    ("spans", "-1", "odd numbers"),
    ("positions", "0", "counted from the end"),
    ("positions", "-1,x", "counted from the end"),
    ("templates", " , ", "a comma list of template names"),
    ("batch_size", "none", "auto, or a whole number"),
    ("batch_size", "0", "auto, or a whole number"),
    ("calibration", "platt", "none or content-free or batch"),
    ("device", "gpu", "cuda:N"),
    ("dtype", "int8", "bfloat16"),
    ("device_map", "balanced", "auto"),
    ("device_map", "", "auto"),
    ("max_memory", "20GiB", "cpu=8GiB,0=20GiB"),
    ("max_memory", "cpu=20", "cpu=8GiB,0=20GiB"),
    ("max_memory", "", "cpu=8GiB,0=20GiB"),
    ("offload_folder", " ", "a folder"),
    ("experiments", "", ", ".join(EXPERIMENTS)),
    ("experiments", "infer,prob", ", ".join(EXPERIMENTS)),
    ("label_map", "joy", "LABEL=NAME"),
    ("label_map", "", "LABEL=NAME"),
    ("label_map", "=joy", "LABEL=NAME"),
    ("label_map", "a=joy,A=fear", "LABEL=NAME"),
    ("label_map", "gone.yaml", "YAML, JSON or CSV"),
    ("split", "", "a split"),
    ("readers", " ", "a file"),
    ("model", "", "name"),
    ("strict", "perhaps", "true or false"),
    ("encoding", "nope", "such as utf-8"),
    ("encoding", "hex", "such as utf-8"),
    ("out", "", "a folder"),
    ("out", " ", "a folder"),
]


@pytest.mark.parametrize(("key", "value", "allowed"), WRONG)
def test_a_wrong_flag_is_wrong_usage_naming_key_value_and_what_is_allowed(key, value, allowed):
    with pytest.raises(UsageError) as caught:
        resolve_config({key: value}, environment={})
    assert not isinstance(caught.value, ConfigError)
    assert caught.value.exit_code == 2
    assert f"{key} cannot be {value!r}" in caught.value.message
    assert f"--{key.replace('_', '-')}" in caught.value.message
    assert allowed in str(caught.value.expected)


@pytest.mark.parametrize(("key", "value", "allowed"), [w for w in WRONG if w[1]])
def test_a_wrong_variable_says_which(key, value, allowed):
    with pytest.raises(ConfigError) as caught:
        resolve_config({}, environment={f"AFFECTSCOPE_{key.upper()}": value})
    assert f"environment variable AFFECTSCOPE_{key.upper()}" in caught.value.message
    assert repr(value) in caught.value.message
    assert allowed in str(caught.value.expected)


@pytest.mark.parametrize(
    "line", ["seed: true", "seed: 1.0", "limit: [1]", "span: 4", "revision: 1234", "model: null"]
)
def test_a_wrong_line_says_which_file(config_file, line):
    file = config_file(f"{line}\n")
    with pytest.raises(ConfigError) as caught:
        resolve_config({}, file=file, environment={})
    assert line.split(":")[0] in caught.value.message
    assert str(file) in caught.value.message


def test_a_number_where_text_is_meant_asks_for_quotes(config_file):
    file = config_file("revision: 1234567\n")
    with pytest.raises(ConfigError) as caught:
        resolve_config({}, file=file, environment={})
    assert caught.value.remedy == 'put quotes around it: revision: "1234567"'


def test_the_nearest_experiment_is_suggested():
    with pytest.raises(UsageError, match="did you mean 'patch'"):
        resolve_config({"experiments": "pach"}, environment={})


def test_an_unknown_key_in_a_file_names_the_nearest_and_the_file(config_file):
    file = config_file("text-column: text\n")
    with pytest.raises(ConfigError) as caught:
        resolve_config({}, file=file, environment={})
    assert "'text-column'" in caught.value.message
    assert "did you mean 'text_column'" in caught.value.message
    assert str(file) in caught.value.message


def test_an_unknown_variable_is_an_error_and_those_of_other_parts_are_not():
    others = ("CACHE", "OFFLINE", "DEFAULT_MODEL_SOURCE", "SHARED", "DEBUG")
    resolve_config({}, environment={f"AFFECTSCOPE_{name}": "x" for name in others})
    with pytest.raises(ConfigError) as caught:
        resolve_config({}, environment={"AFFECTSCOPE_SEDE": "1"})
    assert "AFFECTSCOPE_SEDE" in caught.value.message
    assert "AFFECTSCOPE_SEED" in str(caught.value.expected)


def test_an_empty_variable_counts_as_not_given():
    assert resolve_config({}, environment={"AFFECTSCOPE_LIMIT": ""}).limit is None


@pytest.mark.parametrize("text", ["- seed\n", "seed", "3"])
def test_a_file_must_hold_options(config_file, text):
    with pytest.raises(ConfigError, match=r"study\.yaml holds a"):
        resolve_config({}, file=config_file(text), environment={})


def test_an_empty_file_changes_nothing(config_file):
    assert resolve_config({}, file=config_file("# nothing\n"), environment={}) == RunConfig()


def test_a_file_that_is_missing_or_no_yaml_is_named(config_file, tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        resolve_config({}, file=tmp_path / "none.yaml", environment={})
    with pytest.raises(ConfigError, match="is not YAML"):
        resolve_config({}, file=config_file("seed: [1\n"), environment={})
    (tmp_path / "latin.yaml").write_bytes(b"data: caf\xe9\n")
    with pytest.raises(ConfigError, match="is not YAML"):
        resolve_config({}, file=tmp_path / "latin.yaml", environment={})


def test_yaml_can_be_given_back(config_file):
    flags = {"out": "runs/é x", "limit": "7", "experiments": "probe", "strict": True}
    config = resolve_config(flags, environment={})
    assert yaml.safe_load(config.as_yaml())["experiments"] == ["probe"]
    assert resolve_config({}, file=config_file(config.as_yaml()), environment={}) == config


@pytest.mark.parametrize(
    ("model", "data", "path"),
    [
        ("org/Big Model-7B", "../data/My corpus.csv", "runs/big-model-7b-my-corpus"),
        ("/models/local", "vignettes", "runs/local-vignettes"),
    ],
)
def test_the_folder_is_named_after_model_and_data(model, data, path):
    config = resolve_config({"model": model, "data": data}, environment={})
    assert config.run_path == Path(path)


def test_a_given_folder_is_taken_with_the_home_folder_filled_in(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    config = resolve_config({"out": "~/run"}, environment={})
    assert config.run_path == Path("/home/someone/run")


@pytest.mark.parametrize("name", ["utf-8", "UTF8", "utf-16", "cp1252", "ISO-8859-1"])
def test_encodings_that_python_knows_are_taken_as_given(name):
    assert resolve_config({"encoding": name}, environment={}).encoding == name


def test_an_empty_folder_in_a_file_is_an_error(config_file):
    with pytest.raises(ConfigError, match="out cannot be ''"):
        resolve_config({}, file=config_file('out: ""\n'), environment={})


def test_an_option_that_stands_twice_is_an_error(config_file):
    file = config_file("seed: 1\nlimit: 3\nseed: 2\n")
    with pytest.raises(ConfigError) as caught:
        resolve_config({}, file=file, environment={})
    assert caught.value.message == f"{file}: seed is given twice, in lines 1 and 3"


def test_a_spread_model_can_be_asked_for_in_every_way(config_file):
    file = config_file("device_map: auto\nmax_memory: {cpu: 8GiB, 0: 20 GiB, cuda:1: 1.5GB}\n")
    config = resolve_config({}, file=file, environment={})
    assert config.max_memory == "cpu=8GiB,0=20 GiB,cuda:1=1.5GB"
    assert resolve_config({}, file=config_file(config.as_yaml()), environment={}) == config
    environment = {"AFFECTSCOPE_MAX_MEMORY": "cpu=1GiB", "AFFECTSCOPE_OFFLOAD_FOLDER": "/large"}
    config = resolve_config({"device_map": "auto"}, file=file, environment=environment)
    assert (config.max_memory, config.offload_folder) == ("cpu=1GiB", Path("/large"))


@pytest.mark.parametrize("line", ["max_memory: {cpu: 8}", "max_memory: 8", "max_memory: [cpu]"])
def test_memory_limits_without_a_unit_are_refused_in_a_file(config_file, line):
    with pytest.raises(ConfigError, match="max_memory cannot be") as caught:
        resolve_config({}, file=config_file(f"device_map: auto\n{line}\n"), environment={})
    assert caught.value.expected.startswith("DEVICE=SIZE")


def test_options_of_a_spread_model_that_do_not_go_together(config_file):
    with pytest.raises(UsageError, match=r"max_memory \(from --max-memory\)") as caught:
        resolve_config({"max_memory": "cpu=1GiB"}, environment={})
    assert not isinstance(caught.value, ConfigError)
    assert caught.value.remedy == "give --device-map auto too"
    with pytest.raises(ConfigError, match=r"offload_folder .*AFFECTSCOPE_OFFLOAD_FOLDER"):
        resolve_config({}, environment={"AFFECTSCOPE_OFFLOAD_FOLDER": "/large"})
    environment = {"AFFECTSCOPE_DEVICE": "cuda:1"}
    with pytest.raises(ConfigError, match=r"AFFECTSCOPE_DEVICE.*one device") as caught:
        resolve_config({"device_map": "auto"}, environment=environment)
    assert "--device-map" in caught.value.message
    assert "leave the device out" in caught.value.remedy
    both = {"device_map": "auto", "device": "auto"}
    assert resolve_config(both, environment={}).device_map == "auto"


def test_every_option_of_loading_is_one_that_loading_takes():
    taken = {
        *inspect.signature(load_model).parameters,
        *inspect.signature(load_pretrained).parameters,
    }
    options = resolve_config({}, environment={}).load_options
    assert set(options) <= taken
    assert set(RunConfig.model_fields) & taken == set(options), "none is forgotten"


COMMANDS = [
    ["infer", "I lost it."],
    ["models", "check", "tiny"],
    ["run", "--experiments", "infer", "--out", "run"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_command_hands_on_all_options_of_loading(command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    asked = []

    def refuse(_name, **options):
        asked.append(options)
        raise ModelError("enough is known")

    # the module with a name of its own first: imported later, it would take the refusal for good
    monkeypatch.setattr("affectscope.runs.prepare.load_model", refuse)
    monkeypatch.setattr("affectscope.models.load_model", refuse)
    given = {
        "revision": "v2",
        "dtype": "bfloat16",
        "device_map": "auto",
        "max_memory": "cpu=1GiB",
        "offload_folder": "large",
        "strict": True,
        "trust_remote_code": True,
    }
    flags = [
        part
        for key, value in given.items()
        for part in [f"--{key.replace('_', '-')}", *([] if value is True else [value])]
    ]
    monkeypatch.setenv("AFFECTSCOPE_BATCH_SIZE", "7")  # models check has no such flag
    assert main([*command, *flags]) == 1
    (options,) = asked
    options.pop("progress", None)
    expected = {**given, "offload_folder": Path("large"), "batch_size": 7, "device": "auto"}
    assert options == expected


def test_models_check_is_strict_when_asked(tiny_model, tokenizer, tmp_path, monkeypatch, capsys):
    tiny_model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    failed = Check("branched scores", False, 1.0, 1e-4, "branches against full passes")
    monkeypatch.setattr("affectscope.models.checked.self_check", lambda *_: [failed])
    command = ["models", "check", str(tmp_path), "--device", "cpu"]
    assert main(command) == 1
    assert "engine: full pass" in capsys.readouterr().out
    assert main([*command, "--strict"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "failed its self-check: branched scores" in captured.err


def test_a_label_map_is_the_same_however_it_is_given(config_file, tmp_path):
    expected = {"happiness": "joy", "0": "fear", "no": "-"}
    (tmp_path / "map.yaml").write_text("Happiness: Joy\n0: fear\nno:\n")
    (tmp_path / "map.json").write_text('{"happiness": "joy", "0": "fear", "no": null}')
    (tmp_path / "map.csv").write_text("label,name\nhappiness,joy\n0,fear\nno,\n")
    for given in ("map.yaml", "map.json", "map.csv"):
        config = resolve_config({"label_map": str(tmp_path / given)}, environment={})
        assert config.label_map == expected, given
    flags = {"label_map": "Happiness = joy, 0=fear,no=-,"}
    config = resolve_config(flags, environment={})
    assert config.label_map == expected
    assert resolve_config({}, file=config_file(config.as_yaml()), environment={}) == config
    environment = {"AFFECTSCOPE_LABEL_MAP": str(tmp_path / "map.csv")}
    assert resolve_config({}, environment=environment).label_map == expected
    file = config_file('label_map: {happiness: joy, 0: fear, "no": null}\n')
    assert resolve_config({}, file=file, environment={}).label_map == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "- joy\n"),
        ("a.yaml", "a: [joy]\n"),
        ("a.yaml", "a: joy\na: fear\n"),
        ("a.yaml", "a: [\n"),
        ("a.json", '{"a": {"b": "c"}}'),
        ("a.json", '{"a": "b", "a": "c"}'),
        ("a.json", '[["a", "b"]]'),
        ("a.json", "{"),
        ("a.json", "[" * 100_000),
        ("a.csv", "a,joy\n"),
        ("a.csv", "label,name\na\n"),
        ("a.csv", 'label,name\n"a,b\n'),
        ("a.csv", "label,name\n"),
        ("a.csv", ""),
    ],
)
def test_a_file_that_is_no_label_map_is_wrong_usage(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UsageError, match="label_map cannot be") as caught:
        resolve_config({"label_map": str(path)}, environment={})
    assert "LABEL=NAME" in caught.value.expected


def test_readers_are_needed_for_what_compares_with_them():
    with pytest.raises(UsageError, match="human, which needs readers") as caught:
        resolve_config({"experiments": "human"}, environment={})
    assert "--readers FILE" in caught.value.remedy
    flags = {"experiments": "human", "readers": "enVent_val_Data.csv"}
    assert resolve_config(flags, environment={}).readers == Path("enVent_val_Data.csv")


def identity(**options):
    hashes = {"model_sha256": "m", "corpus_sha256": "c", "readers_sha256": options.pop("sha", None)}
    return Identity.of(RunConfig(**options), **hashes, device="cpu", dtype="float32")


def test_labels_split_and_readers_make_another_run():
    runs = [
        identity(),
        identity(label_map="a=b"),
        identity(label_map="a=c"),
        identity(split="test"),
        identity(sha="r"),
        identity(sha="s"),
    ]
    assert len({run.hash for run in runs}) == len(runs)
    assert identity(label_map="a=b,c=d").hash == identity(label_map="c=d,a=b").hash
    assert identity(readers="one.csv", sha="r").hash == identity(readers="two.csv", sha="r").hash


def test_what_differs_between_runs_is_named():
    old, new = identity(sha="r" * 64).content, identity(label_map="a=b").content
    assert differences(old, new) == [
        "--label-map: None -> {'a': 'b'}",
        "the readers' file: rrrrrrrrrrrr -> None",
    ]


def test_a_run_of_an_earlier_version_is_the_same_run():
    content = identity().content
    before = {k: v for k, v in content.items() if k not in ("label_map", "split", "readers_sha256")}
    assert Identity(before).hash == identity().hash
    assert differences(before, content) == []
    assert differences(before, identity(split="test").content) == ["--split: None -> test"]
