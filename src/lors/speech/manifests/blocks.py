"""A manifest in blocks of whole lines, and what is found in one: the part of a check that processes share."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lors.speech.manifest import Utterance, audio_checker, to_utterance
from lors.speech.manifests.json_lines import json_object
from lors.speech.manifests.lines import BadLineError, lines_of

BLOCK_BYTES = 1 << 18
"""That a process takes at a time: some hundred lines, a tenth of a second with their audio."""


@dataclass
class Contents:
    """What the good lines of a manifest hold.

    Attributes:
        lines: the number of all lines but blank ones, bad ones too.
        utterances: the number of good lines.
        seconds: of all.
        tasks: (source_lang, target_lang) of any.
    """

    lines: int = 0
    utterances: int = 0
    seconds: float = 0.0
    tasks: set[tuple[str, str]] = field(default_factory=set)

    def add(self, other: "Contents") -> None:
        self.lines += other.lines
        self.utterances += other.utterances
        self.seconds += other.seconds
        self.tasks |= other.tasks


@dataclass(frozen=True)
class Block:
    """Whole lines of a manifest.

    Attributes:
        start, end: the bytes.
        line: the number of the first line.
        digest: the sha256 of the bytes; None for a last line without an end, which may still grow.
        record: what `look` made of the same bytes before.
    """

    start: int
    end: int
    line: int
    digest: bytes | None
    record: bytes | None = None


@dataclass
class Looked:
    """A block's lines.

    Attributes:
        lines: (number, the id where there is one, what is wrong); with an id, it is the audio that is wrong.
        contents: of the good ones.
        record: all of this in bytes, for another time.
    """

    lines: list[tuple[int, str | None, str | None]]
    contents: Contents
    record: bytes = b""


def blocks_of(path: Path) -> Iterator[Block]:
    """Cut a file after the last line end of every `BLOCK_BYTES`: equal files are cut alike."""
    with path.open("rb") as file:
        start, line, position, digest = 0, 1, 0, hashlib.sha256()
        while content := file.read(BLOCK_BYTES):
            cut = content.rfind(b"\n") + 1
            if cut:
                digest.update(content[:cut])
                yield Block(start, position + cut, line, digest.digest())
                start, digest = position + cut, hashlib.sha256()
                line += content.count(b"\n")
            digest.update(content[cut:])
            position += len(content)
        if start < position:
            yield Block(start, position, line, None)


def look(path: Path, check_audio: bool, block: Block) -> Looked:
    """Find what is wrong with the lines of a block, apart from ids that are there again.

    Where the block has a record, that is believed, but for audio that was bad: someone may have mended it.
    """
    audio_problem = audio_checker() if check_audio else lambda utterance: None
    if block.record is None:
        found = _look_at(path, block, audio_problem, None)
        found.record = _to_record(found)
        return found
    found = _from_record(block.record)
    bad_audio = {number for number, identifier, problem in found.lines if identifier is not None and problem}
    if bad_audio:
        again = _look_at(path, block, audio_problem, bad_audio)
        anew = {line[0]: line for line in again.lines}
        found.lines = [anew.get(line[0], line) for line in found.lines]
        again.contents.lines = 0
        found.contents.add(again.contents)
    return found


def _look_at(
    path: Path, block: Block, audio_problem: Callable[[Utterance], str | None], only: set[int] | None
) -> Looked:
    """`look` without records, at the lines of some numbers or at all."""
    folder = path.absolute().parent
    looked = Looked([], Contents())
    with path.open("rb") as file:
        file.seek(block.start)
        for number, line in lines_of(file, block.line, block.end):
            if (only is not None and number not in only) or (line is not None and not line.strip()):
                continue
            looked.contents.lines += 1
            try:
                # without its end: a column is counted from the last line feed before it
                content = line and line.removesuffix(b"\n").removesuffix(b"\r")
                utterance = to_utterance(json_object(content), folder)
            except BadLineError as error:
                looked.lines.append((number, None, str(error)))
                continue
            problem = audio_problem(utterance)
            looked.lines.append((number, utterance.id, problem))
            if problem is None:
                looked.contents.utterances += 1
                looked.contents.seconds += utterance.duration
                looked.contents.tasks.add((utterance.source_lang, utterance.target_lang))
    return looked


def _to_record(looked: Looked) -> bytes:
    numbers, ids, _ = zip(*looked.lines, strict=True) if looked.lines else ((), (), ())
    problems = {number: problem for number, _, problem in looked.lines if problem}
    contents = looked.contents
    sums = (contents.lines, contents.utterances, contents.seconds, sorted(contents.tasks))
    return zlib.compress(json.dumps((numbers, ids, problems, sums)).encode(), level=1)


def _from_record(record: bytes) -> Looked:
    numbers, ids, problems, (lines, utterances, seconds, tasks) = json.loads(zlib.decompress(record))
    found = [
        (number, identifier, problems.get(str(number)))
        for number, identifier in zip(numbers, ids, strict=True)
    ]
    return Looked(found, Contents(lines, utterances, seconds, set(map(tuple, tasks))))
