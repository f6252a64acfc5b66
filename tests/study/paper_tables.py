"""The paper's own numbers as the results of a study."""

from pathlib import Path

from lors.study.results import CellScore, Row, StudyResults

DATA = Path(__file__).with_name("data") / "paper-tables.tsv"
SETS = {"high-resource": ("ca", "de", "es", "fr", "it"), "low-resource": ("id", "nl", "pt", "ru", "sv")}
METHODS = {
    "Weight Averaging": "weight-averaging",
    "Task Arithmetic": "task-arithmetic",
    "MP-Merging": "mp",
    "SVP-Merging": "svp",
    "LoRS-Merging": "lors",
}
_SETTINGS = {
    "Pretrained": "pretrained",
    "Finetuned": "finetuned",
    "Multi-lingual training": "multilingual-training",
    "ML training": "multilingual-training",
    "Multi-task training": "multitask-training",
    "MT training": "multitask-training",
    "ML and MT training": "joint-training",
}
_MERGES = {
    "ML and MT ": "joint-merging",
    "↔ + ML ": "multitask-training-multilingual-merging",
    "↔ + MT ": "multilingual-training-multitask-merging",
}
_TASKS = {
    1: ["transcribe"], 7: ["transcribe"], 2: ["translate"], 8: ["translate"],
    4: ["transcribe", "translate"], 9: ["transcribe", "translate"],
    10: ["transcribe", "translate"], 11: ["transcribe", "translate"],
}  # fmt: skip


def printed() -> dict[int, list[list[str]]]:
    """Number → lines of the paper's table, the headings first."""
    found: dict[int, list[list[str]]] = {}
    for line in DATA.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            number, *cells = line.split("\t")
            found.setdefault(int(number), []).append(cells)
    return found


def score(value: float, task: str = "transcribe", evaluation: str = "none") -> CellScore:
    metric = "wer" if task == "transcribe" else "bleu"
    return CellScore(
        metric=metric,
        value=value,
        low=value - 1,
        high=value + 1,
        n=500,
        loops=0,
        signature=f"{metric}|data",
        evaluation=Path("/nowhere") / evaluation,
        seconds=1.0,
    )


def setting_of(number: int, system: str) -> tuple[str, str | None]:
    for start, setting in _MERGES.items():
        if system.startswith(start) and system.removeprefix(start) in METHODS:
            return setting, METHODS[system.removeprefix(start)]
    if system in METHODS:
        setting = "multilingual-merging" if number in (1, 2, 7, 8) else "multitask-merging"
        return setting, METHODS[system]
    return _SETTINGS[system], None


def paper_results() -> StudyResults:
    """Every table but 3, whose numbers are the means of Table 11."""
    rows: dict[tuple[str, str, str | None], dict[tuple[str, str], CellScore]] = {}
    for number, (heading, *lines) in printed().items():
        for system, *values in lines if number != 3 else []:
            name = next(one for one, languages in SETS.items() if heading[1] in languages)
            cells = rows.setdefault((name, *setting_of(number, system)), {})
            per_task = len(SETS[name]) + 1
            for place, (language, value) in enumerate(zip(heading[1:], values, strict=True)):
                if language != "Avg.":
                    task = _TASKS[number][place // per_task]
                    new = score(float(value), task)
                    assert cells.setdefault((language, task), new) == new, (number, system, language)
    return StudyResults(
        name="paper",
        base="openai/whisper-small",
        language_sets=SETS,
        tasks=("transcribe", "translate"),
        methods=tuple(METHODS.values()),
        rows=tuple(
            Row(language_set=name, setting=setting, method=method, languages=SETS[name], cells=cells)
            for (name, setting, method), cells in rows.items()
        ),
    )
