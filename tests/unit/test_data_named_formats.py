"""crowd-enVENT's and the vignettes' file formats are recognised, and their mistakes named."""

import csv
import io
import math
import re
from importlib import resources

import pytest

from affectscope.data import load_corpus
from affectscope.errors import ColumnError, DataError, LabelError
from affectscope.vocabulary import APPRAISAL_NAMES, EMOTIONS

AUTHORS = ("f29aa2d9", "99907d47", "cb83b6f7")
PERSONAL = ("age", "gender", "education", "ethnicity", "extravert", "timestamp")


def crowd_rows():
    """Four items by three authors; "It rained." is told by two of them."""
    texts = ["My ... cat died", "It rained.", "I won", "it  rained"]
    emotions = ["sadness", "no-emotion", "joy", "anger"]
    authors = [AUTHORS[0], AUTHORS[0], AUTHORS[1], AUTHORS[2]]
    return [
        {
            "text_id": str(215 + n),
            "emotion": emotion,
            "prolific_id": author,
            "generated_text": f"unmasked {text}",
            "hidden_emo_text": text,
            **{name: str(1 + n) for name in APPRAISAL_NAMES},
            **{name: f"private-{name}-{n}" for name in PERSONAL},
        }
        for n, (text, emotion, author) in enumerate(zip(texts, emotions, authors, strict=True))
    ]


def vignette_rows():
    """Six scenarios of two versions each, and one of one: every emotion once."""
    return [
        {
            "scenario": f"s{n // 2}",
            "version": str(1 + n % 2),
            "emotion": emotion,
            "domain": "work",
            "text": f"Something happened, number {n}: {emotion * 3}.",
            "flipped": "urgency" if n % 2 else "",
            **dict.fromkeys(APPRAISAL_NAMES, "3"),
        }
        for n, emotion in enumerate(EMOTIONS)
    ]


def write(path, rows):
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(buffer.getvalue(), encoding="utf-8")
    return path


@pytest.fixture
def crowd(tmp_path):
    return lambda rows: write(tmp_path / "some name.csv", rows)


def test_crowd_envent_is_recognised_by_its_columns(crowd):
    corpus = load_corpus(crowd(crowd_rows()))
    assert corpus.name == "crowd-envent"
    assert corpus.labels == EMOTIONS
    assert corpus.texts == ["My ... cat died", "It rained.", "I won", "it  rained"]
    assert corpus.emotions == ["sadness", "neutral", "joy", "anger"]
    assert corpus.items["item_id"].tolist() == ["215", "216", "217", "218"]
    assert corpus.items["effort"].tolist() == [1.0, 2.0, 3.0, 4.0]


def test_nothing_personal_leaves_the_loader(crowd):
    corpus = load_corpus(crowd(crowd_rows()))
    expected = ["item_id", "text", "emotion", "group", *APPRAISAL_NAMES]
    assert list(corpus.items.columns) == expected
    everything = corpus.items.to_csv()
    assert "private" not in everything
    assert not any(author in everything for author in AUTHORS)


def test_authors_who_share_a_text_become_one_group(crowd):
    first, second, third, fourth = load_corpus(crowd(crowd_rows())).groups
    assert first == second == fourth  # the first author, and the third who told of the same rain
    assert third != first


def test_item_without_an_author_is_its_own_group(crowd):
    rows = crowd_rows()
    rows[0]["prolific_id"] = rows[2]["prolific_id"] = " "
    groups = load_corpus(crowd(rows)).groups
    assert len({groups[0], groups[1], groups[2]}) == 3


def test_another_text_column_keeps_labels_and_authors(crowd):
    corpus = load_corpus(crowd(crowd_rows()), text_column="generated_text")
    assert corpus.texts[0] == "unmasked My ... cat died"
    assert corpus.groups[0] == corpus.groups[1]


def test_another_label_column_makes_it_a_table_like_any_other(crowd):
    corpus = load_corpus(
        crowd(crowd_rows()), text_column="hidden_emo_text", label_column="prolific_id"
    )
    assert corpus.name == "some name"
    assert corpus.labels == tuple(sorted(AUTHORS))


def test_unknown_emotion_is_named_with_its_line_and_the_thirteen(crowd):
    rows = crowd_rows()
    rows[2]["emotion"] = "Envy"
    with pytest.raises(LabelError, match='line 4: "envy" is not one of the 13 emotions') as caught:
        load_corpus(crowd(rows))
    assert caught.value.expected == ", ".join(EMOTIONS)
    assert "correct the emotion" in caught.value.remedy


def options_named_in(remedy):
    """The options that a remedy says to give, as arguments of load_corpus."""
    found = re.findall(r"--(\w+)-column (\w+)", remedy)
    return {f"{option}_column": column for option, column in found}


@pytest.mark.parametrize(
    ("rows", "groups"), [(crowd_rows, 2), (vignette_rows, 7)], ids=["crowd", "vignettes"]
)
def test_remedy_for_an_unknown_emotion_gives_the_files_own_labels(tmp_path, rows, groups):
    made = rows()
    made[2]["emotion"] = "Envy"
    with pytest.raises(LabelError) as caught:
        load_corpus(write(tmp_path / "mine.csv", made))
    assert "rename the column emotion to own_label" in caught.value.remedy
    renamed = [
        {("own_label" if name == "emotion" else name): value for name, value in row.items()}
        for row in made
    ]
    path = write(tmp_path / "mine.csv", renamed)
    corpus = load_corpus(path, **options_named_in(caught.value.remedy))
    assert "envy" in corpus.labels
    assert len(corpus) == len(made)
    assert len(set(corpus.groups)) == groups


@pytest.mark.parametrize(
    ("column", "content", "option"),
    [("emotion", "labels", "--label-column"), ("hidden_emo_text", "texts", "--text-column")],
)
def test_crowd_envent_without_a_column_is_told_which(crowd, column, content, option):
    rows = [{k: v for k, v in row.items() if k != column} for row in crowd_rows()]
    with pytest.raises(ColumnError, match="nearly in the format of crowd-enVENT") as caught:
        load_corpus(crowd(rows))
    assert f'lacks the column "{column}" (the {content})' in caught.value.message
    assert option in caught.value.remedy


def test_crowd_envent_without_a_column_loads_by_another(crowd):
    rows = [{k: v for k, v in row.items() if k != "hidden_emo_text"} for row in crowd_rows()]
    corpus = load_corpus(crowd(rows), text_column="generated_text")
    assert corpus.texts[0] == "unmasked My ... cat died"


@pytest.mark.parametrize("value", ["0", "6", "5.01", "-1", "high", "inf"])
def test_rating_out_of_range_is_named(crowd, value):
    rows = crowd_rows()
    rows[1]["urgency"] = value
    with pytest.raises(DataError, match=f'line 3: "{value}" is not a rating of urgency') as caught:
        load_corpus(crowd(rows))
    assert "1 to 5" in caught.value.expected


def test_missing_rating_is_nan(crowd):
    rows = crowd_rows()
    rows[1]["urgency"] = ""
    ratings = load_corpus(crowd(rows)).items["urgency"].tolist()
    assert math.isnan(ratings[1])
    assert ratings[0] == 1.0


def test_duplicate_id_is_named_with_both_lines(crowd):
    rows = crowd_rows()
    rows[3]["text_id"] = rows[1]["text_id"]
    with pytest.raises(DataError, match="text_id 216 is on line 3 and again on line 5"):
        load_corpus(crowd(rows))


def test_empty_id_is_refused(crowd):
    rows = crowd_rows()
    rows[3]["text_id"] = ""
    with pytest.raises(DataError, match="line 5: text_id is empty"):
        load_corpus(crowd(rows))


def test_readers_file_is_told_apart(tmp_path):
    rows = [{"text_id": "1", "annotator_emotion": "joy", "emotion": "joy", "age": "30"}]
    with pytest.raises(DataError, match="ratings by readers, and no texts") as caught:
        load_corpus(write(tmp_path / "enVent_val_Data.csv", rows))
    assert "enVent_gen_Data.csv" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "codec", "recorded"),
    [
        ("I didn’t", "cp1252", "iso-8859-1"),  # as published: bytes of 1252, said to be 8859-1
        ("I didn’t", "utf-8", "utf-8"),
        ("A café", "iso-8859-1", "iso-8859-1"),
    ],
)
def test_crowd_envent_is_read_in_its_published_encoding_unless_it_is_utf8(
    crowd, text, codec, recorded
):
    rows = crowd_rows()
    rows[0]["hidden_emo_text"] = text
    path = crowd(rows)
    path.write_bytes(path.read_text(encoding="utf-8").encode(codec))
    corpus = load_corpus(path)
    assert corpus.encoding == recorded
    assert corpus.texts[0] == text.encode(codec).decode(recorded)


def test_crowd_envent_in_a_named_encoding_has_its_quotation_marks(crowd):
    rows = crowd_rows()
    rows[0]["hidden_emo_text"] = "I didn’t"
    path = crowd(rows)
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1252"))
    corpus = load_corpus(path, encoding="cp1252")
    assert corpus.texts[0] == "I didn’t"
    assert corpus.encoding == "cp1252"


def test_vignette_file_by_path_has_the_house_labels_and_its_own_name(tmp_path):
    corpus = load_corpus(write(tmp_path / "mine.csv", vignette_rows()[:3]))
    assert corpus.name == "mine"
    assert corpus.labels == EMOTIONS
    assert corpus.items["item_id"].tolist() == ["s0.1", "s0.2", "s1.1"]
    assert corpus.items["domain"].tolist() == ["work"] * 3
    first, second, third = corpus.groups
    assert first == second != third  # the versions of a scenario stay together


def test_vignette_file_can_be_grouped(tmp_path):
    corpus = load_corpus(write(tmp_path / "mine.csv", vignette_rows()), group_column="domain")
    assert len(set(corpus.groups)) == 1
    with pytest.raises(ColumnError, match='no column "domian"') as caught:
        load_corpus(tmp_path / "mine.csv", group_column="domian")
    assert "--group-column domain" in caught.value.remedy


def test_unknown_emotion_in_a_vignette_file_is_named(tmp_path):
    rows = vignette_rows()
    rows[5]["emotion"] = "envy"
    with pytest.raises(LabelError, match='line 7: "envy"'):
        load_corpus(write(tmp_path / "mine.csv", rows))


def test_embedded_vignettes_match_their_file():
    corpus = load_corpus("vignettes")
    raw = resources.files("affectscope.vignettes").joinpath("vignettes.csv").read_bytes()
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8"), newline="")))
    assert (corpus.name, corpus.source, corpus.encoding) == ("vignettes", "embedded", "utf-8")
    assert corpus.texts == [row["text"] for row in rows]
    assert corpus.emotions == [row["emotion"] for row in rows]
    assert corpus.items["pleasantness"].tolist() == [float(row["pleasantness"]) for row in rows]
    assert corpus.dropped == ()
    assert len(set(corpus.groups)) <= len({row["scenario"] for row in rows})
    assert set(corpus.emotions) == set(EMOTIONS)


def test_installation_without_vignettes_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("affectscope.data.vignettes.resources.files", lambda _: tmp_path)
    with pytest.raises(DataError, match="embedded vignettes are not where") as caught:
        load_corpus("vignettes")
    assert "install" in caught.value.remedy
