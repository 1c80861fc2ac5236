"""The words of the page that are the same for every run."""

from __future__ import annotations

from dataclasses import dataclass

from affectscope.vocabulary import ExperimentName


@dataclass(frozen=True)
class ExperimentWords:
    """How an experiment is introduced."""

    title: str
    """The question, as a heading."""
    asks: str
    """The question as the end of a sentence that begins with "whether" or "where"."""
    method: str
    """What is done, and why it answers the question."""


EXPERIMENT_WORDS: dict[ExperimentName, ExperimentWords] = {
    "infer": ExperimentWords(
        title="Does the model name the author's emotion?",
        asks="whether it names the emotion that the author of a text gave",
        method=(
            "Each text is put into the prompt. The model's answer is the label whose first token "
            "has the largest score at the last position; a free answer is the token with the "
            "largest score in the whole vocabulary. Raw scores are the model's own; calibrated "
            "scores have the prompt's own preferences for some labels taken out."
        ),
    ),
    "pairs": ExperimentWords(
        title="Within a pair, does the answer move as the changed appraisal predicts?",
        asks="whether, within a pair of texts that differ in one appraisal, its answer moves as "
        "appraisal theory predicts",
        method=(
            "Versions of one scenario share their wording and differ in one appraisal that "
            "matters, such as who caused the event, so that the emotion changes as appraisal "
            "theory predicts. What is compared is the answer to two versions of a scenario, which "
            "takes out what their shared wording suggests. The texts were written for this test."
        ),
    ),
    "probe": ExperimentWords(
        title="Where can the emotion be read off?",
        asks="where in the network the emotion can be read off its activations",
        method=(
            "At every layer and site, a classifier is trained to tell the author's emotion from "
            "the activation, and scored on texts it was not trained on: a linear one, and one with "
            "a hidden layer (mlp), at each of the last tokens. Texts of one author are never on "
            "both sides. The same linear probe on labels without meaning tells how much any labels "
            "could be learnt (selectivity). A probe shows that information is there, not that the "
            "model uses it."
        ),
    ),
    "ablate": ExperimentWords(
        title="Which activations does the answer need?",
        asks="which activations its answers need",
        method=(
            "One site is knocked out at the last token, at one layer or in a window of several, "
            "and the model answers again. Zero sets the activation to 0; noise replaces it by a "
            "random vector of the same norm; mean and resample put in what texts do cause: the "
            "mean over all texts, or another text's activation. The fewer answers stay the same, "
            "the more the answer needs that site. A layer stands out when, text by text, knocking "
            "it out moves the answers further than other layers of its site do (ranks, signs "
            "flipped by group, adjusted for all layers and sites)."
        ),
    ),
    "patch": ExperimentWords(
        title="Which activations carry the answer over?",
        asks="which activations are enough to bring another text's answer, and which are needed to "
        "keep one's own",
        method=(
            "Two texts of different emotions that the model gets right make a pair. The "
            "activations of the source at the last token replace those of the target, in a window "
            "of layers around the one shown, and the model answers again: with the source's "
            "emotion, the target's, or neither. The pairs are the same at every layer and site. "
            "Beside it: windows of several sizes, each of the last tokens alone, each head alone, "
            "and the other direction, in which the target's activation goes into the source's pass."
        ),
    ),
    "attend": ExperimentWords(
        title="What does the last token look at, and does it matter?",
        asks="which words it looks at when it answers, and whether the answer changes when it may "
        "not",
        method=(
            "For each layer and head, the last token's attention is summed by kind of token: the "
            "examples' labels and texts, the instruction, the content and function words of the "
            "text in question. Then its attention to each kind is knocked out in a window of "
            "layers, and in all; beside it, to as many random tokens of the same prompt. What any "
            "blocking does is no finding."
        ),
    ),
    "control": ExperimentWords(
        title="Is it special to emotion?",
        asks="whether another task, a prompt without a question, or labels without meaning give "
        "the same picture",
        method=(
            "Three controls. The same texts with an opening word in front, and the question for "
            "that word in the place of the emotion: is it answered in the same layers? A prompt "
            "that asks for no emotion: can it be read off all the same? The emotions dealt to the "
            "texts at random: no layer may be significant."
        ),
    ),
    "robust": ExperimentWords(
        title="Does the prompt matter?",
        asks="whether the peak stays at the same layer under other prompts",
        method=(
            "The same texts under each of several prompts: other instructions, other numbers of "
            "examples, the model's own chat format. For each, how often the model names the "
            "emotion and where patching peaks. Whether any prompt moves the curve is tested for "
            "all at once."
        ),
    ),
    "localise": ExperimentWords(
        title="Where is the emotion inferred?",
        asks="where, all in all, the emotion is inferred, and how far the methods agree",
        method=(
            "What the experiments above say, joined. The site is the one, of those that add to the "
            "residual stream, whose patch carries most answers over; the layer is where. Every "
            "method's peak stands beside it, and how alike two methods order the layers "
            "(Spearman's correlation)."
        ),
    ),
    "appraise": ExperimentWords(
        title="Which appraisals can be read off?",
        asks="how well people's appraisals of the event can be read off its activations, and how "
        "far these say the emotion",
        method=(
            "For each appraisal a linear readout (ridge regression) is fitted to what the authors "
            "rated, at every layer and site, and scored on texts of other authors. Beside it stand "
            "the same readouts of ratings without meaning, and people who read the text: they too "
            "can only guess what the author rated. Then the emotion is predicted from the ratings "
            "alone, the authors' own or those read off the model."
        ),
    ),
    "geometry": ExperimentWords(
        title="Does the model relate emotions by appraisals as people do?",
        asks="whether its emotions lie to appraisals, and to each other, as in people's ratings",
        method=(
            "At every layer and site, each emotion and each appraisal has a direction in the "
            "activations: along it one reads more of the thing. The cosines of an emotion's "
            "direction with those of all appraisals are the model's profile of that emotion; "
            "people's profile is the mean of what the authors rated. If the model sorts emotions "
            "as people do, emotions with like profiles in one have like profiles in the other. An "
            "emotion's and an appraisal's direction are always fitted on different texts: fitted "
            "on the same ones they would look alike in a model that knows nothing."
        ),
    ),
    "promote": ExperimentWords(
        title="Does adding an emotion's direction make the model answer with it?",
        asks="whether it answers with an emotion when that emotion's direction is added",
        method=(
            "Each emotion's direction, found on other texts, is added to the last token's "
            "residual stream in a window of layers, or taken away, in three sizes: shares of the "
            "stream's own length there, since it grows many-fold with depth. Success is the share "
            "of what could change that did: of the texts not answered with the emotion, how many "
            "now are. Beside it stand random directions of the same length, and what happens to "
            "every other label. The layer at which this is summed up is chosen on other texts."
        ),
    ),
    "surgery": ExperimentWords(
        title="Does moving an appraisal inside the model move the emotion as theory says?",
        asks="whether moving an appraisal inside it, all others held, moves its answers as theory, "
        "people's ratings and rewritten texts say",
        method=(
            "A direction is added to the last token's activation: the appraisal's readout, with "
            "the readouts of all appraisals that are to stay the same projected out. What follows "
            "is compared with as long random directions, with what appraisal theory predicts, with "
            "what people's ratings predict and, for minimal pairs, with the rewritten text. What "
            "other appraisals did all the same is read with probes that saw neither the direction "
            "nor the texts. Directions, edits and readings are on texts of different authors."
        ),
    ),
    "generate": ExperimentWords(
        title="Does what it writes move when an appraisal is moved inside it, and at what damage?",
        asks="whether what it writes moves when an appraisal is moved inside it, and at what "
        "damage",
        method=(
            "The same prompts are gone on with, with the same draws: unsteered, with a wish put in "
            "words, and with a vector added to the residual stream in a window of layers while the "
            "model writes. What was written is read by a judge of words and by the unsteered "
            "model's own probes, neither of which has seen what the vectors were fitted to. A text "
            "can be moved by breaking the model: beside each effect stand its damage and what as "
            "long random directions do. The setting to use is chosen on half of the prompts, and "
            "its effect given on the others."
        ),
    ),
    "human": ExperimentWords(
        title="How does the model compare with people who read the same texts?",
        asks="how it compares with people who read the same texts",
        method=(
            "Several people read each text, without its emotion word, named the emotion they "
            "thought the author had felt and rated the author's appraisals. They are scored "
            "against the author as the model is, and the model's distribution over the labels is "
            "compared with that of the text's readers. Only texts that were read count."
        ),
    ),
}

STATE_WORDS: dict[str, str] = {
    "running": "This run had not ended when this page was written, or it was killed",
    "interrupted": "This run was interrupted",
    "failed": "This run failed",
}
"""What is said of a run that is not complete."""

_GOES_ON = "The same command goes on where the run stopped."

NEXT_WORDS: dict[str, str] = {
    "running": _GOES_ON,
    "interrupted": _GOES_ON,
    "failed": (
        "Once what the message names is mended, the same command tries again from what is stored."
    ),
}
"""What to do about it."""
