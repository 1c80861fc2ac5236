"""Columns that describe persons are known by name; some names only count in one format."""

from affectscope.data.personal import find_personal, personal_columns, personal_line

ENVENT = (
    "round_number emotion text_id timestamp prolific_id anger generated_text hidden_emo_text "
    "suddenness effort previous_participation age gender education ethnicity extravert critical "
    "dependable anxious open quiet sympathetic disorganized calm conventional did_you_lie? "
    "original_demographics"
).split()
ISEAR = "ID CITY COUN SUBJ SEX AGE RELI PRAC FOCC MOCC FIEL EMOT WHEN EXPC Field1 MYKEY SIT".split()


def test_crowd_envent():
    kept = {"round_number", "emotion", "text_id", "timestamp", "anger", "generated_text"}
    kept |= {"hidden_emo_text", "suddenness", "effort"}
    assert set(ENVENT) - set(personal_columns(ENVENT)) == kept


def test_isear():
    assert personal_columns(ISEAR) == tuple(ISEAR[1:11])


def test_general_names_in_any_spelling():
    columns = ["Name", "eMail", "Phone Number", "ip", "userName", "AGE", "gender ", "text", "label"]
    assert personal_columns(columns) == tuple(columns[:7])


def test_words_that_mean_other_things_elsewhere_are_left_alone():
    assert personal_columns(["text", "calm", "open", "critical", "city_emotion", "usage"]) == ()


def test_what_is_kept_is_told():
    found = find_personal(["text", "age", "gender"], ["item_id", "text", "emotion", "age"])
    assert (found.found, found.kept) == (("age", "gender"), ("age",))
    assert personal_line(found).endswith("age, gender; kept, as asked for: age")
    assert personal_line(find_personal(["age"], ["text"])).endswith("age; none is kept")
    assert "none" in personal_line(find_personal(["text"], ["text"]))
