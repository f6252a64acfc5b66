"""The paper's tables: which systems stand in each, in which order, and what they are called there."""

from dataclasses import dataclass

BOTH = ("transcribe", "translate")
_TOPLINE = "where the model is finetuned on each language{} independently"


@dataclass(frozen=True)
class Entry:
    """Lines of a table: one setting; of a setting that merges, a line for each method.

    Attributes:
        label: what the line is called; {} stands for the method's title.
        rule: a line is drawn above the first of them.
        competes: whether it is one model that does all of the table's work, and so may be the best.
    """

    setting: str
    label: str
    rule: bool = False
    competes: bool = True


@dataclass(frozen=True)
class Layout:
    """One of the paper's tables.

    Attributes:
        first, second: its number for the first and for the second set of languages; None where it has none.
        title: its caption begins so.
        topline: what its line "Finetuned" is.
        averages: how the caption says what Avg. is.
        tasks: whose scores stand in it.
        entries: its lines.
        baseline: the setting that the others are compared with.
        baseline_title: what the caption calls it.
        means_only: whether it holds the means over languages alone.
    """

    kind: str
    first: int | None
    second: int | None
    title: str
    topline: str
    averages: str
    tasks: tuple[str, ...]
    entries: tuple[Entry, ...]
    baseline: str
    baseline_title: str
    means_only: bool = False


_TOP = (
    Entry("pretrained", "Pretrained", competes=False),
    Entry("finetuned", "Finetuned", competes=False),
)
_MULTILINGUAL = (
    *_TOP,
    Entry("multilingual-training", "Multi-lingual training", rule=True),
    Entry("multilingual-merging", "{}", rule=True),
)
_MULTITASK = (
    *_TOP,
    Entry("multitask-training", "Multi-task training", rule=True),
    Entry("multitask-merging", "{}", rule=True),
)
# Models of one language or one task each are no competitors of one that does all.
_JOINT = (
    *_TOP,
    Entry("joint-training", "ML and MT training", rule=True),
    Entry("joint-merging", "ML and MT {}"),
    Entry("multitask-training", "MT training", rule=True, competes=False),
    Entry("multitask-training-multilingual-merging", "↔ + ML {}"),
    Entry("multilingual-training", "ML training", rule=True, competes=False),
    Entry("multilingual-training-multitask-merging", "↔ + MT {}"),
)
_MULTITASK_AVERAGES = "Avg. averages WER or BLEU scores directly."

LAYOUTS = (
    Layout(
        "multilingual-transcribe", 1, 7, "Multi-lingual ASR model merging.", _TOPLINE.format(""),
        "Avg. averages WER directly.", BOTH[:1], _MULTILINGUAL, "multilingual-training", "multi-lingual training",
    ),
    Layout(
        "multilingual-translate", 2, 8, "Multi-lingual ST model merging.", _TOPLINE.format(""),
        "Avg. averages BLEU directly.", BOTH[1:], _MULTILINGUAL, "multilingual-training", "multi-lingual training",
    ),
    Layout(
        "multitask-means", 3, None,
        "Multi-task model merging performed on each language independently and WER/BLEU scores are averaged across "
        "languages.", _TOPLINE.format(" and task combination"),
        "Scores of each language stand in Table 11.", BOTH, _MULTITASK, "multitask-training",
        "multi-task training", means_only=True,
    ),
    Layout(
        "joint", 4, 10, "Multi-lingual multi-task model merging.", _TOPLINE.format(" and task combination"),
        _MULTITASK_AVERAGES, BOTH, _JOINT, "joint-training", "ML and MT training",
    ),
    Layout(
        "multitask", 11, 9, "Multi-task model merging.", _TOPLINE.format(" and task combination"),
        _MULTITASK_AVERAGES, BOTH, _MULTITASK, "multitask-training", "multi-task training",
    ),
)  # fmt: skip
"""Tables 1, 2, 3, 4 and 11, and of the second set 7, 8, 10 and 9."""

RECIPE_TABLES = {"transcribe": 5, "translate": 6}
"""Task → the number of the table of what was chosen for it."""


def layouts_of(place: int) -> list[tuple[int, Layout]]:
    """(number, layout) of the tables of the first (0), second (1) … set of languages, by number.

    The paper has two sets; the tables of any other are numbered from 12 on, four for each.
    """
    if place == 0:
        found = [(layout.first, layout) for layout in LAYOUTS]
    else:
        found = [(layout.second, layout) for layout in LAYOUTS]
    chosen = [(number, layout) for number, layout in found if number is not None]
    chosen.sort(key=lambda pair: pair[0])
    if place < 2:
        return chosen
    return [(12 + 4 * (place - 2) + at, layout) for at, (_, layout) in enumerate(chosen)]
