"""Hypotheses on disk: JSON Lines that grow batch by batch, so that a killed evaluation goes on."""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lors.base.files import read_json, sha256_of_text, write_json, write_text
from lors.speech.decoding.hypothesis import Candidate, Hypothesis
from lors.speech.evaluation_inputs import DataSet, Model
from lors.speech.evaluation_results import RESULTS
from lors.speech.manifest import Utterance

_KEYS = "keys.json"


class HypothesisFiles:
    """The hypothesis files of one evaluation in its working directory, each with the key of what made it."""

    def __init__(self, directory: Path, keys: dict[str, str]) -> None:
        """Keep of `directory` what has the right key, remove what has not.

        Args:
            directory: the working directory; made where it is not there.
            keys: file, relative to the directory → digest of the model, data and decoder.
        """
        self.directory = directory
        self._keys = keys
        directory.mkdir(parents=True, exist_ok=True)
        before = _read(directory / _KEYS)
        for path in sorted((directory / "hypotheses").rglob("*.jsonl")):
            name = path.relative_to(directory).as_posix()
            if keys.get(name) != before.get(name, ""):
                path.unlink()
        write_json(directory / _KEYS, keys)

    def adopt(self, earlier: Path) -> None:
        """Copy from a finished evaluation in `earlier` what it decoded with the same keys."""
        theirs = {key: name for name, key in _read(earlier / RESULTS).get("hypotheses", {}).items()}
        for name, key in self._keys.items():
            path = self.directory / name
            if key in theirs and not path.exists() and (earlier / theirs[key]).is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(earlier / theirs[key], path)

    def read(self, name: str, utterances: Sequence[Utterance]) -> dict[int, Hypothesis]:
        """Place of the utterance → hypothesis, of those that are there; a torn last line is cut off."""
        path = self.directory / name
        if not path.exists():
            return {}
        places = {(u.id, u.source_lang, u.target_lang): place for place, u in enumerate(utterances)}
        found = {}
        whole = 0
        for end, line in _whole_lines(path.read_bytes()):
            place = places.get((line["id"], line["source_lang"], line["target_lang"]))
            if place is not None:
                found[place] = _to_hypothesis(line)
            whole = end
        with path.open("r+b") as file:
            file.truncate(whole)
        return found

    def append(self, name: str, pairs: Iterable[tuple[Utterance, Hypothesis]]) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(_to_line(utterance, hypothesis, {}) for utterance, hypothesis in pairs)
        with path.open("ab") as file:
            file.write(lines.encode("utf-8"))

    def finish(self, name: str, rows: Iterable[tuple[Utterance, Hypothesis, dict[str, Any]]]) -> None:
        """Write the file anew in the manifest's order, with what scoring found out of each utterance."""
        write_text(self.directory / name, "".join(_to_line(*row) for row in rows))

    def close(self) -> None:
        """Remove what only the working directory needs."""
        (self.directory / _KEYS).unlink()


def hypothesis_key(model: Model, data_set: DataSet, decoder: str, limit: int | None) -> str:
    """Digest of all that decides the hypotheses of one file."""
    return sha256_of_text(json.dumps([model.digest, data_set.sha256, decoder, limit]))


def hypothesis_file(model: Model, data_set: DataSet) -> str:
    return f"hypotheses/{model.file_name}/{data_set.name}.jsonl"


_FIELDS = tuple(name for name in Hypothesis.__dataclass_fields__ if name not in ("text", "nbest"))
# Written only where they were asked for; older files have none of them.
_OPTIONAL = {"language", "language_probability", "nbest"}
_NEEDED = {"id", "source_lang", "target_lang", "hypothesis", *_FIELDS} - _OPTIONAL


def _to_hypothesis(line: dict[str, Any]) -> Hypothesis:
    nbest = tuple(Candidate(**entry) for entry in line.get("nbest", ()))
    facts = {name: line[name] for name in _FIELDS if name in line}
    return Hypothesis(line["hypothesis"], **facts, nbest=nbest)


def _to_line(utterance: Utterance, hypothesis: Hypothesis, scores: dict[str, Any]) -> str:
    facts = asdict(hypothesis)
    line = {
        "id": utterance.id,
        "task": utterance.task,
        "source_lang": utterance.source_lang,
        "target_lang": utterance.target_lang,
        "duration": utterance.duration,
        "reference": utterance.text,
        "hypothesis": facts.pop("text"),
        **scores,
        **{name: value for name, value in facts.items() if value or name not in _OPTIONAL},
    }
    return json.dumps(line, ensure_ascii=False) + "\n"


def _whole_lines(content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """(place of its end, line) of every line up to the first that is torn."""
    end = 0
    for raw in content.splitlines(keepends=True):
        end += len(raw)
        try:
            line = json.loads(raw)
        except ValueError:
            return
        if not raw.endswith(b"\n") or not isinstance(line, dict) or not line.keys() >= _NEEDED:
            return
        yield end, line


def _read(path: Path) -> dict[str, Any]:
    value = read_json(path) if path.is_file() else {}
    return value if isinstance(value, dict) else {}
