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

GLOSSARY: tuple[tuple[str, str], ...] = (
    ("layer", "A block of the transformer. Layers are counted from 0."),
    (
        "resid_post",
        "The residual stream after a block: the running sum that every block reads and adds to.",
    ),
    ("attn_out", "What the attention of a block adds to the residual stream."),
    ("mlp_out", "What the feed-forward part (MLP) of a block adds to the residual stream."),
    ("last token", "The last token of the prompt, where the answer is read off."),
    ("label token", "The first token of a label as it would continue the prompt."),
    (
        "calibration",
        "A constant taken from each label's score so that the prompt's own preferences do not "
        "decide. Content-free: the scores of prompts without content (Zhao et al. 2021). Batch: "
        "the mean log-probability of the label over unlabelled texts (Zhou et al. 2024).",
    ),
    (
        "95 % interval",
        "From a percentile bootstrap that draws whole groups (authors) with replacement, because "
        "texts of one author are not independent (Field and Welsh 2007). Where all items "
        "behind a number are of one group there is nothing to draw from, and no interval.",
    ),
    (
        "chance",
        "The accuracy to be expected of the same answers if they were dealt to the texts at "
        "random.",
    ),
    (
        "above_chance",
        "Accuracy minus chance, with an interval of its own: negative where the model does worse "
        "than chance, not clearly different from it where the interval holds 0.",
    ),
    (
        "bag of words",
        "A naive Bayes classifier of word counts (without English function words), trained on the "
        "items of other groups: what the words alone give away.",
    ),
    (
        "reader, plurality",
        "A reader is a person who read the text. The plurality is the label that most of a text's "
        "readers named; labels named equally often share the text in equal parts.",
    ),
    (
        "r²",
        "The squared Pearson correlation: the share of variance that a reader's rating and the "
        "author's have in common.",
    ),
    (
        "Jensen-Shannon distance",
        "How far two distributions over the labels are apart: the square root of the "
        "Jensen-Shannon divergence in bits, 0 when they are equal, 1 when they have no label in "
        "common (Lin 1991; Endres and Schindelin 2003). Its p is the share of permutations, which "
        "deal the readers' distributions to the texts at random, with as small a mean distance.",
    ),
    ("span", "How many neighbouring layers are edited together, centred on the one named."),
    (
        "selectivity",
        "A probe's accuracy minus that of the same probe on control labels, which are drawn at "
        "random for each text's last word (Hewitt and Liang 2019).",
    ),
    (
        "p",
        "How often chance alone, anywhere among all layers and sites (or kinds, or prompts) that "
        "were tested together, gives as large a value: adjusted by the maximum (Westfall and Young "
        "1993; Nichols and Holmes 2002). Never 0 (Phipson and Smyth 2010).",
    ),
    (
        "q",
        "The least false discovery rate at which a finding is still one (Benjamini and Hochberg "
        "1995).",
    ),
    (
        "sufficient, necessary",
        "Two directions of patching. Sufficient: the source's activation in the target's pass "
        "brings the source's answer. Necessary: the target's activation in the source's pass "
        "breaks the source's own answer.",
    ),
    (
        "attention knock-out",
        "A token is kept from seeing some tokens in a layer; the softmax is taken over what is "
        "left (Geva et al. 2023). Attention that has nowhere to go rests on the first token "
        "(Xiao et al. 2024), which is a kind of its own.",
    ),
    (
        "centre",
        "Where a patching curve lies: the mean layer, weighted by the transfer above the curve's "
        "median.",
    ),
    (
        "relative depth",
        "The layer as a share of the model's depth, 0 % for the first and 100 % for the last, so "
        "that models of different depth compare.",
    ),
    (
        "recovered",
        "The share of the difference between the scores of the source's and the target's emotion "
        "that a patch carries over: 0 as without the patch, 1 as in the source's own pass.",
    ),
    (
        "sweep, full pass",
        "Two ways to the same numbers. The sweep recomputes only what an edit can change; the "
        "full pass recomputes everything, for a model that did not pass the self-check.",
    ),
)

REFERENCES: tuple[str, ...] = (
    "Tak, A. N., Banayeeanzade, A., Bolourani, A., Kian, M., Jia, R., Gratch, J. (2025). "
    "Mechanistic Interpretability of Emotion Inference in Large Language Models. Findings of the "
    "Association for Computational Linguistics: ACL 2025. arXiv:2502.05489.",
    "Troiano, E., Oberländer, L., Klinger, R. (2023). Dimensional Modeling of Emotions in Text "
    "with Appraisal Theories: Corpus Creation, Annotation Reliability, and Prediction. "
    "Computational Linguistics 49(1). doi:10.1162/coli_a_00461.",
    "Zhao, Z., Wallace, E., Feng, S., Klein, D., Singh, S. (2021). Calibrate Before Use: Improving "
    "Few-Shot Performance of Language Models. ICML 2021. arXiv:2102.09690.",
    "Zhou, H., Wan, X., Proleev, L., Mincu, D., Chen, J., Heller, K., Roy, S. (2024). Batch "
    "Calibration: Rethinking Calibration for In-Context Learning and Prompt Engineering. "
    "ICLR 2024. arXiv:2309.17249.",
    "Lin, J. (1991). Divergence Measures Based on the Shannon Entropy. IEEE Transactions on "
    "Information Theory 37(1).",
    "Endres, D. M., Schindelin, J. E. (2003). A New Metric for Probability Distributions. IEEE "
    "Transactions on Information Theory 49(7).",
    "Hewitt, J., Liang, P. (2019). Designing and Interpreting Probes with Control Tasks. EMNLP "
    "2019. arXiv:1909.03368.",
    "Geva, M., Bastings, J., Filippova, K., Globerson, A. (2023). Dissecting Recall of Factual "
    "Associations in Auto-Regressive Language Models. EMNLP 2023. arXiv:2304.14767.",
    "Xiao, G., Tian, Y., Chen, B., Han, S., Lewis, M. (2024). Efficient Streaming Language Models "
    "with Attention Sinks. ICLR 2024. arXiv:2309.17453.",
    "Jain, S., Wallace, B. C. (2019). Attention is not Explanation. NAACL 2019. arXiv:1902.10186.",
    "Heimersheim, S., Nanda, N. (2024). How to use and interpret activation patching. "
    "arXiv:2404.15255.",
    "Westfall, P. H., Young, S. S. (1993). Resampling-Based Multiple Testing. Wiley.",
    "Nichols, T. E., Holmes, A. P. (2002). Nonparametric permutation tests for functional "
    "neuroimaging. Human Brain Mapping 15(1).",
    "Ojala, M., Garriga, G. C. (2010). Permutation Tests for Studying Classifier Performance. "
    "Journal of Machine Learning Research 11.",
    "Phipson, B., Smyth, G. K. (2010). Permutation P-values Should Never Be Zero. Statistical "
    "Applications in Genetics and Molecular Biology 9(1).",
    "Benjamini, Y., Hochberg, Y. (1995). Controlling the False Discovery Rate. Journal of the "
    "Royal Statistical Society, Series B 57(1).",
    "Cameron, A. C., Gelbach, J. B., Miller, D. L. (2011). Robust Inference With Multiway "
    "Clustering. Journal of Business and Economic Statistics 29(2).",
    "Field, C. A., Welsh, A. H. (2007). Bootstrapping Clustered Data. Journal of the Royal "
    "Statistical Society, Series B 69(3).",
)

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
