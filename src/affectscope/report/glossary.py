"""Terms and references of the page, the same for every run."""

from __future__ import annotations

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
        "direction",
        "A vector in the space of activations that stands for an emotion or an appraisal: the "
        "weights of a probe, or the difference of mean activations.",
    ),
    (
        "profile",
        "What one emotion is on every appraisal: cosines of directions in the model, mean "
        "ratings in people.",
    ),
    (
        "representational similarity",
        "How alike two sets of profiles are in what they call alike: the rank correlation between "
        "the dissimilarities of every two emotions in one set and in the other.",
    ),
    (
        "jackknife",
        "An interval from leaving out each part of the items in turn, for what is fitted anew.",
    ),
    (
        "success of promotion",
        "The share of what could change that did: of the items not answered with the emotion, how "
        "many more are when its direction is added (Tak et al. 2025).",
    ),
    (
        "held, raw",
        "Surgery with what other appraisals' readouts see projected out of what is added, and "
        "without (Tak et al. 2025, section 6).",
    ),
    (
        "leakage",
        "How much the appraisals that should stay the same change on average, as a share of the "
        "change that was intended; in standard deviations of their readings. As the held probes "
        "themselves read it (own), and as probes of other items do.",
    ),
    (
        "LEACE",
        "Least-squares concept erasure: the least change of the activations after which no linear "
        "readout finds the concept (Belrose et al. 2023).",
    ),
    (
        "steering",
        "Adding a vector to the residual stream at the prompt's last token and at every token that "
        "is then written. Its length (coefficient) is in mean lengths of the stream at that layer; "
        "the layers of a window share it.",
    ),
    (
        "judge",
        "A linear model of a text's words, trained on people's texts and ratings; it reads what "
        "was written. On what it had not seen, judge_r2 is the share of variance it explains.",
    ),
    (
        "effect of steering",
        "How far a reading of the text moves in the direction meant, against the unsteered text of "
        "the same prompt and draws, in standard deviations (SD) of the readings of unsteered "
        "texts. Moved the wrong way: the share of texts whose reading moves against it. Unnamed: "
        "of the texts alone that do not name the target.",
    ),
    (
        "damage",
        "The Kullback-Leibler divergence of the next token's distribution from the unsteered one, "
        "in nats, averaged over the tokens of neutral passages: how far steering moves what it has "
        "no business to move.",
    ),
    (
        "matched effect",
        "Ways of steering differ in strength, so their damages are compared at one effect: half a "
        "standard deviation, between the lengths tried.",
    ),
    (
        "collapse",
        "A setting under which more than half of the 4-grams stood in the same text before, or "
        "texts are 2 nats a token less likely to the unsteered model than its own. None is "
        "recommended, nor any whose damage is above 0.5 nats a token.",
    ),
    ("echo", "The share of texts in which a word of the target itself stands."),
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
    "Kriegeskorte, N., Mur, M., Bandettini, P. (2008). Representational Similarity Analysis: "
    "Connecting the Branches of Systems Neuroscience. Frontiers in Systems Neuroscience 2:4.",
    "Mantel, N. (1967). The Detection of Disease Clustering and a Generalized Regression Approach. "
    "Cancer Research 27(2).",
    "Kott, P. S. (2001). The Delete-a-Group Jackknife. Journal of Official Statistics 17(4).",
    "Russell, J. A. (1980). A Circumplex Model of Affect. Journal of Personality and Social "
    "Psychology 39(6).",
    "Belrose, N., Schneider-Joseph, D., Ravfogel, S., Cotterell, R., Raff, E., Biderman, S. "
    "(2023). LEACE: Perfect linear concept erasure in closed form. NeurIPS 2023. arXiv:2306.03819.",
    "Hoerl, A. E., Kennard, R. W. (1970). Ridge Regression: Biased Estimation for Nonorthogonal "
    "Problems. Technometrics 12(1).",
)
