"""Evaluations of given texts, scored and written by the parts that `lors evaluate` is made of."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from lors.base.files import write_json
from lors.speech.decoding.hypothesis import Hypothesis
from lors.speech.evaluation_files import HypothesisFiles
from lors.speech.evaluation_inputs import normaliser_for
from lors.speech.evaluation_scores import Cell, score_cell, utterance_errors
from lors.speech.manifest import Utterance
from lors.study.results import CellScore

_TEXT = "the press pound key to hear your new messages again or wait for an operator who takes this call soon"
WORDS = _TEXT.split()
REQUEST = {"decoder": "decoder:none", "normaliser": None, "resamples": 300, "seed": 7, "limit": None}


def clips(language: str, task: str, number: int, seed: int = 0) -> list[Utterance]:
    draw = random.Random(f"{language} {seed}")
    return [
        Utterance(
            id=f"clip-{place}",
            audio_filepath=Path(f"/nowhere/{place}.wav"),
            duration=1.0 + place / 10,
            text=" ".join(draw.choices(WORDS, k=draw.randint(4, 9))).capitalize() + ".",
            source_lang=language,
            target_lang=language if task == "transcribe" else "en",
        )
        for place in range(number)
    ]


def spoiled(utterances: Sequence[Utterance], share: float, seed: int) -> list[str]:
    """The references, with about this share of their words wrong or missing."""
    draw = random.Random(seed)
    texts = []
    for utterance in utterances:
        words = [
            w if draw.random() > share else draw.choice(["uh", "no", ""]) for w in utterance.text.split()
        ]
        texts.append(" ".join(word for word in words if word))
    return texts


def write_evaluation(
    folder: Path, texts: Mapping[tuple[str, str], tuple[Sequence[Utterance], Sequence[str]]]
) -> dict[tuple[str, str], CellScore]:
    """Write `folder` as `lors evaluate` would for one model called "model"; the scores of its cells.

    Args:
        texts: (language, task) → utterances and what the model made of them.
    """
    names = {cell: f"hypotheses/model/{cell[0]}-{cell[1]}-test.jsonl" for cell in texts}
    files = HypothesisFiles(folder, {name: "key" for name in names.values()})
    scores = []
    cells = {}
    for (language, task), (utterances, written) in texts.items():
        hypotheses = [Hypothesis(text, 3, -0.5, 400, False, None, 0.1) for text in written]
        rows = []
        for utterance, hypothesis in zip(utterances, hypotheses, strict=True):
            errors: dict[str, object] = {}
            if task == "transcribe":
                errors = asdict(utterance_errors(utterance, hypothesis.text, None))
                del errors["utterances"]
                errors["normaliser"] = normaliser_for(utterance, None).signature
            rows.append((utterance, hypothesis, errors))
        files.finish(names[language, task], rows)
        cell = Cell(task, language, utterances[0].target_lang, tuple(utterances), ("d" * 64,))
        result = score_cell(
            "model", cell, hypotheses, normaliser=None, resamples=300, seed=7, signature="model:0", first=None
        ).score
        scores.append(result)
        cells[language, task] = CellScore(
            metric=result.metric,
            value=result.value,
            low=result.low,
            high=result.high,
            n=result.n,
            loops=result.loops,
            signature=result.signature,
            evaluation=folder,
            seconds=result.seconds,
        )
    files.close()
    sets = [Path(name).stem for name in names.values()]
    write_json(
        folder / "results.json",
        {
            "version": "0",
            "request": REQUEST
            | {
                "models": [{"name": "model", "sha256": "0", "digest": "0", "signature": None}],
                "data": [{"name": name, "sha256": "d" * 64, "utterances": 1} for name in sets],
            },
            "paths": {"models": {}, "data": {name: f"/nowhere/{name}.jsonl" for name in sets}},
            "hypotheses": {name: "key" for name in names.values()},
            "scores": [asdict(score) for score in scores],
            "seconds": 1.0,
        },
    )
    return cells
