"""Make the files beside this one anew, with NIST's real `sclite` and `sc_stats`.

    python tests/speech/data/regenerate.py --sctk /usr/lib/sctk/bin \\
        --greedy RESULTS --beam5 RESULTS --translations RESULTS

The three folders are what `lors evaluate` wrote: README.md has the commands. `test_against_nist.py` uses the
functions for its own runs, so nothing here calls LoRS's scorer.
"""

import argparse
import hashlib
import json
import random
import re
import subprocess
import tempfile
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
LANGUAGES = ("en", "es", "fr", "it", "ru")
COLUMNS = ("id", "reference", "greedy", "beam5", "greedy_words", "beam5_words", "greedy_raw", "beam5_raw")
_WORDS = """
{ } / @ ; ;; \\ ( ) (( * - ' % # ~ _
{a / b} (uh) (a_1) ab- a\\b \\; word; @@ <unk> %hesitation &amp; \\n u-000001 (u-000001)
a A b B c é É e\u0301 E\u0301 ñ n\u0303 l'été l’été L'ÉTÉ anak-anak anak‐anak 3,5 10.000
ёж Ёж еж е\u0308ж й и\u0306 Й να ένα ΄Ενα ένας ΕΝΑΣ ς σ 今日 は 天気 天氣 你好 你 好 नमस्ते שלום I ı İ i ß ss ŀ l·
"""
VOCABULARY = tuple(_WORDS.split())
_SAME = "="  # the hypothesis of beam 5 where it is that of greedy search
Counts = tuple[int, int, int, int]


def generated_lines(number: int = 5000, seed: int = 7) -> tuple[list[str], list[str]]:
    """References and hypotheses: every sort of mistake, few words and many, words that a reader trips over.

    Only `Random.random` is drawn from: its numbers are the same in every version of Python.
    """
    source = random.Random(seed)

    def below(limit: int) -> int:
        return int(source.random() * limit)

    references, hypotheses = [], []
    for _ in range(number):
        words = [VOCABULARY[below(len(VOCABULARY))] for _ in range(1 + below(len(VOCABULARY)))]
        words = words[: (2, 3, 6, 20, 100)[below(5)]]  # of two words all alignments tie, of a hundred few do
        length = 1 + below((3, 8, 15, 40)[below(4)]) if below(25) else 0
        truth = [words[below(len(words))] for _ in range(length)]
        noise = (0.0, 0.1, 0.3, 0.6, 1.0)[below(5)]
        guess: list[str] = []
        for word in truth:
            draw = source.random() / noise if noise else 1.0
            if draw < 1 / 3:
                continue
            guess.append(words[below(len(words))] if draw < 2 / 3 else word)
            if 2 / 3 <= draw < 1:
                guess += [guess[-1]] * below(3) + [words[below(len(words))]]
        kind = below(12)
        if kind == 0:
            guess = [words[below(len(words))] for _ in range(below(25))]  # nothing to do with the reference
        elif kind == 1:
            guess = guess[below(5) :] + guess[: below(5)]
        elif kind == 2:
            guess = guess * 3  # a loop
        text = " ".join(guess)
        if kind == 3:
            text = unicodedata.normalize(("NFC", "NFD")[below(2)], text)
        references.append(" ".join(truth))
        hypotheses.append(text)
    return references, hypotheses


def digest(references: Sequence[str], hypotheses: Sequence[str]) -> str:
    """sha256 of the pairs."""
    return hashlib.sha256(json.dumps([references, hypotheses]).encode("ascii")).hexdigest()


def renamed(references: Sequence[str], hypotheses: Sequence[str]) -> tuple[list[str], list[str]]:
    """The same lines with each different word under a name without meaning: sclite reads some for markup."""
    names: dict[str, str] = {}

    def rename(text: str) -> str:
        return " ".join(names.setdefault(word, f"x{len(names)}x") for word in text.split())

    return [rename(text) for text in references], [rename(text) for text in hypotheses]


def sclite_counts(sctk: Path, references: Sequence[str], hypotheses: Sequence[str]) -> list[Counts]:
    """What sclite counts on the lines as they are: correct, substituted, deleted, inserted, line by line."""
    with tempfile.TemporaryDirectory() as folder:
        trn = _write_trn(Path(folder), ref=references, hyp=hypotheses)
        command = [sctk / "sclite", "-i", "spu_id", "-s", "-e", "utf-8", "-r", trn["ref"], "trn"]
        command += ["-h", trn["hyp"], "trn", "-o", "pra", "stdout"]
        output = subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8")
    scores = re.findall(r"id: \(u-(\d+)\)\nScores: \(#C #S #D #I\) (\d+) (\d+) (\d+) (\d+)", output)
    found = {int(line): (int(c), int(s), int(d), int(i)) for line, c, s, d, i in scores}
    assert sorted(found) == list(range(len(references))), "sclite left out a line"
    for place, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True)):
        correct, substituted, deleted, inserted = found[place]
        assert correct + substituted + deleted == len(reference.split()), (place, reference)
        assert correct + substituted + inserted == len(hypothesis.split()), (place, hypothesis)
    return [found[place] for place in range(len(references))]


def matched_pairs_figures(
    sctk: Path, references: Sequence[str], first: Sequence[str], second: Sequence[str]
) -> dict[str, str]:
    """What sc_stats prints of its matched-pairs test, as it prints it."""
    with tempfile.TemporaryDirectory() as folder:
        trn = _write_trn(Path(folder), ref=references, A=first, B=second)
        align = [sctk / "sclite", "-i", "spu_id", "-s", "-e", "utf-8", "-r", trn["ref"], "trn"]
        align += ["-h", trn["A"], "trn", "sysA", "-h", trn["B"], "trn", "sysB", "-o", "sgml", "stdout"]
        sgml = subprocess.run(align, capture_output=True, check=True).stdout
        outputs = []
        for option in ("-v", "-u"):
            command = [sctk / "sc_stats", "-p", "-t", "mapsswe", option, "-n", "-"]
            done = subprocess.run(command, cwd=folder, input=sgml, capture_output=True, check=True)
            outputs.append(done.stdout.decode("utf-8", "replace"))
    verbose = re.search(r"# segs: (\d+).*\(mean: *(\S+)\) \(std dev: *(\S+)\) \(Z Stat: *(\S+)\)", outputs[0])
    totals = re.search(r"Totals +\d+ +(\d+) +(\d+)", outputs[0])
    p_value = re.search(r"\|  (?:~|sysA|sysB) +(<?\d\.\d+)", outputs[1])
    assert verbose and totals and p_value
    names = ("segments", "mean", "standard_deviation", "z", "first_errors", "second_errors", "p_value")
    return dict(zip(names, (*verbose.groups(), *totals.groups(), p_value[1]), strict=True))


def read_rows(name: str) -> list[dict[str, str]]:
    """The rows of a tab-separated file beside this one."""
    head, *lines = (HERE / name).read_text(encoding="utf-8").split("\n")[:-1]
    rows = [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]
    return [row | {"beam5": row["greedy"]} if row.get("beam5") == _SAME else row for row in rows]


def as_counts(text: str) -> Counts:
    """ "12 1 0 0" → (12, 1, 0, 0)."""
    correct, substituted, deleted, inserted = map(int, text.split())
    return correct, substituted, deleted, inserted


def _write_trn(folder: Path, **sides: Sequence[str]) -> dict[str, Path]:
    for name, texts in sides.items():
        content = "".join(f"{text} (u-{place:06d})\n" for place, text in enumerate(texts))
        (folder / name).write_text(content, encoding="utf-8")
    return {name: folder / name for name in sides}


def _hypotheses(results: Path, pattern: str) -> list[dict[str, Any]]:
    lines = [
        json.loads(line)
        for path in sorted((results / "hypotheses").glob(f"*/{pattern}.jsonl"))
        for line in path.read_text(encoding="utf-8").split("\n")
        if line
    ]
    assert lines, f"{results}: nothing of {pattern}"
    assert not any(c in line[side] for line in lines for side in ("reference", "hypothesis") for c in "\t\n")
    return sorted(lines, key=lambda line: (line["source_lang"], line["id"]))


def _write_rows(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    (HERE / name).write_text(
        "".join("\t".join(row) + "\n" for row in (columns, *rows)), encoding="utf-8", newline="\n"
    )


def _as_text(counts: Counts) -> str:
    return " ".join(map(str, counts))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("sctk", "greedy", "beam5", "translations"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    from lors.speech.normalisation import find_normaliser

    normalise: Callable[[str], str] = find_normaliser("fold-diacritics")
    figures = {}
    for language in LANGUAGES:
        greedy = _hypotheses(given.greedy, f"{language}-transcribe-*")
        beam = _hypotheses(given.beam5, f"{language}-transcribe-*")
        assert [line["id"] for line in greedy] == [line["id"] for line in beam]
        references = [line["reference"] for line in greedy]
        columns = [[line["id"] for line in greedy], references]
        columns += [[line["hypothesis"] for line in lines] for lines in (greedy, beam)]
        words = [[normalise(text) for text in texts] for texts in columns[1:]]
        columns += [[_as_text(c) for c in sclite_counts(given.sctk, words[0], w)] for w in words[1:]]
        for texts in columns[2:4]:
            counts = sclite_counts(given.sctk, *renamed(references, texts))
            columns.append([_as_text(c) for c in counts])
        columns[3] = [
            _SAME if text == other else text for text, other in zip(columns[3], columns[2], strict=True)
        ]
        _write_rows(f"hypotheses-{language}.tsv", COLUMNS, list(zip(*columns, strict=True)))
        figures[language] = matched_pairs_figures(given.sctk, *words)
    (HERE / "sc_stats.json").write_text(json.dumps(figures, indent=1) + "\n")
    pairs = generated_lines()
    counts = sclite_counts(given.sctk, *renamed(*pairs))
    (HERE / "generated.txt").write_text("".join(f"{_as_text(c)}\n" for c in counts) + digest(*pairs) + "\n")
    rows = [
        (line["source_lang"], line["id"], line["reference"], line["hypothesis"])
        for line in _hypotheses(given.translations, "*-translate-*")
    ]
    _write_rows("translations.tsv", ("language", "id", "reference", "hypothesis"), rows)


if __name__ == "__main__":
    main()
