"""Evaluate several models side by side: decode, score per language and task, keep every hypothesis."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lors.base.errors import UsageError
from lors.base.files import refuse_existing, replace_directory, sync_tree, write_json, write_text
from lors.base.lock import exclusive
from lors.base.progress import progress
from lors.checkpoints.ctranslate2 import prune_conversions
from lors.speech.decoding.decode import decode, load_engine
from lors.speech.decoding.hypothesis import Hypothesis
from lors.speech.decoding.options import DecoderOptions
from lors.speech.evaluation_decoding import decoding_notes, decoding_record
from lors.speech.evaluation_files import HypothesisFiles, hypothesis_file, hypothesis_key
from lors.speech.evaluation_inputs import (
    DataSet,
    Model,
    check_lengths,
    check_memory,
    check_normalisers,
    check_pairs,
    normaliser_for,
    read_data,
    read_models,
)
from lors.speech.evaluation_results import RESULTS, Evaluation, read_evaluation
from lors.speech.evaluation_scores import (
    Cell,
    CellResult,
    Score,
    mean_over_languages,
    score_cell,
    utterance_errors,
)
from lors.speech.evaluation_table import markdown_table
from lors.speech.manifest import Utterance
from lors.version import __version__

__all__ = ["Evaluation", "evaluate", "read_evaluation"]

_Hypotheses = dict[tuple[str, str], list[Hypothesis]]


def evaluate(
    models: Sequence[str | Path],
    data: Sequence[Path],
    out: Path,
    *,
    engine: str = "ctranslate2",
    quantization: str | None = None,
    beam_size: int = 5,
    window: int = 1500,
    nbest: int = 1,
    language: str = "manifest",
    memory: int | None = None,
    normaliser: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
    limit: int | None = None,
    overwrite: bool = False,
    reuse: bool = False,
    names: Mapping[Any, str] | None = None,
) -> Evaluation:
    """Decode every utterance of `data` with every model, score, and write `out` whole or not at all.

    Transcriptions are scored by word error rate, translations by BLEU. Utterances of the same two
    languages are pooled over all manifests. The first model is the one that others are compared with.
    While it works, what is decoded stands in `OUT.partial`; after an interruption the same call goes on
    from there. Hypotheses that an overwritten `out` holds of the same model, data and decoder are taken over.

    Args:
        models: directories or Hub ids; named by `names` (model as given → name), else by their directory.
        data: manifests.
        out: directory to write: `results.json`, `table.md`, `hypotheses/MODEL/MANIFEST.jsonl`.
        engine: "ctranslate2" or "transformers".
        quantization: number format; None for int8 (ctranslate2) or float32 (transformers).
        beam_size: 1 (greedy) to 100.
        window: encoder positions of 20 ms; a longer clip gets the smallest multiple that holds it.
        nbest: texts to keep of each utterance, with their scores; up to `beam_size`, with ctranslate2 only.
        language: "manifest" to decode in the language that each line names, "detect" to have the model tell it.
        memory: bytes that batches may hold beside the weights; None for half of what is free.
        normaliser: profile for WER, instead of the one that each manifest line asks for.
        resamples: of the bootstrap, at least 100.
        limit: only the first utterances of each language and task of each manifest.
        overwrite: replace `out` where it exists.
        reuse: return what is in `out` where it is the result of this very request.

    Raises:
        UsageError: a model, manifest or setting is wrong, or `out` exists; nothing was decoded.
        LorsError: an audio file or a model cannot be read.
    """
    start = time.monotonic()
    if language not in ("manifest", "detect"):
        raise UsageError(
            f"language '{language}': expected 'manifest', for the language that each line of the data names, "
            "or 'detect'."
        )
    options = DecoderOptions(
        engine=engine,
        quantization=quantization,
        beam_size=beam_size,
        window=window,
        nbest=nbest,
        detect_language=language == "detect",
        memory=memory,
    )
    if resamples < 100:
        raise UsageError(
            f"resamples {resamples}: expected at least 100, for a 95 % interval to mean something."
        )
    if seed < 0:
        raise UsageError(f"seed {seed}: expected zero or more.")
    out = Path(out)
    if not reuse:
        refuse_existing(out, overwrite)  # before the work of reading models and data
    chosen, sets = read_models(models, names), read_data(data, limit)
    check_lengths(sets)
    check_pairs(chosen, sets)
    check_normalisers(sets, normaliser)
    keys = {
        hypothesis_file(model, data_set): hypothesis_key(model, data_set, options.signature, limit)
        for model in chosen
        for data_set in sets
    }
    request = {
        "decoder": options.signature,
        "normaliser": normaliser,
        "resamples": resamples,
        "seed": seed,
        "limit": limit,
        "models": [
            {"name": m.name, "sha256": m.sha256, "digest": m.digest, "signature": m.signature} for m in chosen
        ],
        "data": [{"name": d.name, "sha256": d.sha256, "utterances": len(d.utterances)} for d in sets],
    }
    partial = out.with_name(f"{out.name}.partial")
    if earlier := _earlier(out, request, reuse, overwrite):
        return earlier
    check_memory(chosen, sets, options)
    with exclusive(partial / "work"):  # two processes that write the same output take turns
        if earlier := _earlier(out, request, reuse, overwrite):
            shutil.rmtree(partial, ignore_errors=True)  # whom we waited for has moved it away
            return earlier
        files = HypothesisFiles(partial, keys)
        files.adopt(out)
        hypotheses = _decode_all(chosen, sets, options, files)
        scores = _score_all(chosen, sets, hypotheses, request)
        told = decoding_record(_by_model(chosen, sets, hypotheses), request)
        _write_scores(chosen, sets, hypotheses, files, normaliser)
        evaluation = Evaluation(out, tuple(model.name for model in chosen), tuple(scores), request)
        write_json(
            partial / RESULTS,
            {
                "version": __version__,
                "request": request,
                "paths": {
                    "models": {model.name: str(model.directory) for model in chosen},
                    "data": {data_set.name: str(data_set.path) for data_set in sets},
                },
                "hypotheses": keys,
                **told,
                "scores": [asdict(s) | {"real_time_factor": s.real_time_factor} for s in scores],
                "seconds": time.monotonic() - start,
            },
        )
        notes = "".join(f"- {note}\n" for note in decoding_notes(told))
        write_text(partial / "table.md", markdown_table(evaluation) + notes)
        files.close()
        (partial / ".work.lock").unlink(missing_ok=True)
        sync_tree(partial)
        replace_directory(partial, out)
    prune_conversions()
    return evaluation


def _decode_all(
    models: Sequence[Model], sets: Sequence[DataSet], options: DecoderOptions, files: HypothesisFiles
) -> _Hypotheses:
    hypotheses: _Hypotheses = {}
    for model in models:
        done = {d.name: files.read(hypothesis_file(model, d), d.utterances) for d in sets}
        missing = sum(len(d.utterances) - len(done[d.name]) for d in sets)
        if missing:
            engine = load_engine(model.directory, options)
            with progress(f"Decoding with {model.name}", missing, "clips") as advance:
                for data_set in sets:
                    have = done[data_set.name]
                    for pairs in decode(engine, data_set.utterances, options, frozenset(have)):
                        files.append(
                            hypothesis_file(model, data_set),
                            [(data_set.utterances[place], hypothesis) for place, hypothesis in pairs],
                        )
                        have.update(pairs)
                        advance(len(pairs))
            del engine
        for data_set in sets:
            places = range(len(data_set.utterances))
            hypotheses[model.name, data_set.name] = [done[data_set.name][place] for place in places]
    return hypotheses


def _score_all(
    models: Sequence[Model], sets: Sequence[DataSet], hypotheses: _Hypotheses, request: Mapping[str, Any]
) -> list[Score]:
    cells = _cells(sets)
    scores: list[Score] = []
    firsts: dict[str, CellResult] = {}
    for model in models:
        signature = f"model:{model.sha256[:12]}|{request['decoder']}|bootstrap:{request['resamples']}"
        by_task: dict[str, list[CellResult]] = {}
        for cell, places in cells:
            result = score_cell(
                model.name,
                cell,
                [hypotheses[model.name, data_set][place] for data_set, place in places],
                normaliser=request["normaliser"],
                resamples=request["resamples"],
                seed=request["seed"],
                signature=signature,
                first=firsts.get(cell.stratum),
            )
            firsts.setdefault(cell.stratum, result)
            by_task.setdefault(cell.task, []).append(result)
        for task, results in by_task.items():
            scores += [result.score for result in results]
            if len(results) > 1:
                mean = mean_over_languages(results, firsts.get(task))
                firsts.setdefault(task, mean)
                scores.append(mean.score)
    return scores


def _by_model(
    models: Sequence[Model], sets: Sequence[DataSet], hypotheses: _Hypotheses
) -> dict[str, list[tuple[Utterance, Hypothesis]]]:
    return {
        model.name: [
            pair
            for data_set in sets
            for pair in zip(data_set.utterances, hypotheses[model.name, data_set.name], strict=True)
        ]
        for model in models
    }


def _cells(sets: Sequence[DataSet]) -> list[tuple[Cell, list[tuple[str, int]]]]:
    """Each cell with the (data set, place) of its utterances; transcription comes first."""
    places: dict[tuple[str, str, str], list[tuple[str, int]]] = {}
    by_name = {data_set.name: data_set for data_set in sets}
    for data_set in sets:
        for place, u in enumerate(data_set.utterances):
            places.setdefault((u.task, u.source_lang, u.target_lang), []).append((data_set.name, place))
    cells = []
    for (task, source, target), where in sorted(places.items(), key=lambda item: item[0][0]):
        utterances = tuple(by_name[name].utterances[place] for name, place in where)
        digests = tuple(by_name[name].sha256 for name in dict.fromkeys(name for name, _ in where))
        cells.append((Cell(task, source, target, utterances, digests), where))
    return cells


def _write_scores(
    models: Sequence[Model],
    sets: Sequence[DataSet],
    hypotheses: _Hypotheses,
    files: HypothesisFiles,
    normaliser: str | None,
) -> None:
    for model in models:
        for data_set in sets:
            rows = []
            for utterance, h in zip(data_set.utterances, hypotheses[model.name, data_set.name], strict=True):
                scores: dict[str, Any] = {}
                if utterance.task == "transcribe":
                    scores = asdict(utterance_errors(utterance, h.text, normaliser))
                    scores = {"normaliser": normaliser_for(utterance, normaliser).signature} | scores
                    del scores["utterances"]
                rows.append((utterance, h, scores))
            files.finish(hypothesis_file(model, data_set), rows)


def _earlier(out: Path, request: Mapping[str, Any], reuse: bool, overwrite: bool) -> Evaluation | None:
    """The results that are there, where they answer this request and may be reused; UsageError if in the way."""
    if not (reuse and (out / RESULTS).is_file()):
        refuse_existing(out, overwrite)
        return None
    earlier = read_evaluation(out)
    if earlier.request == request:
        return earlier
    if not overwrite:
        changed = ", ".join(name for name in request if earlier.request.get(name) != request[name])
        raise UsageError(
            f"{out}: holds the results of another request ({changed} changed); name another output, "
            "or pass --overwrite to replace it."
        )
    return None
