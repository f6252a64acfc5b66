"""The manifests of a study: found, read once, counted and hashed before anything is planned."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lors.base.errors import UsageError
from lors.base.files import sha256_of
from lors.speech.manifest import stream_manifest
from lors.study.jobs.job import Given
from lors.study.study_file import Prepared, Study

MISSING = "missing"


@dataclass(frozen=True)
class Split:
    """The data of one language, task and split.

    Attributes:
        manifests: those of all folders that have one.
        clips, seconds: in them; 0 where they are missing.
    """

    manifests: tuple[Given, ...]
    clips: int
    seconds: float


@dataclass
class StudyData:
    """Folders of manifests named LANGUAGE-TASK-SPLIT.jsonl.

    Attributes:
        folders: where they are looked for; what several have is put together.
        to_prepare: corpora that the study prepares itself, and has not yet.
        absent: manifests that none has, in the order in which they were asked for.
    """

    folders: Sequence[Path]
    to_prepare: Sequence[str] = ()
    absent: list[str] = field(default_factory=list)
    _splits: dict[str, Split] = field(default_factory=dict, repr=False)

    def split(self, language: str, task: str, split: str) -> Split:
        """The manifests of a language, a task and "train", "dev" or "test"; noted in `absent` where there is none.

        Raises:
            UsageError: a manifest has a bad line, or holds another language or task than its name says.
        """
        name = f"{language}-{task}-{split}.jsonl"
        if name not in self._splits:
            self._splits[name] = self._read(name, language, task)
        return self._splits[name]

    def _read(self, name: str, language: str, task: str) -> Split:
        found = [folder / name for folder in self.folders if (folder / name).is_file()]
        if not found:
            self.absent.append(name)
            return Split((Given(str(self.folders[0] / name), f"{MISSING} {name}"),), 0, 0.0)
        counted = [_count(path, language, task) for path in found]
        given = tuple(Given(str(path.absolute()), sha256_of(path)) for path in found)
        return Split(given, sum(clips for clips, _ in counted), sum(seconds for _, seconds in counted))


def _count(path: Path, language: str, task: str) -> tuple[int, float]:
    clips, seconds = 0, 0.0
    for one in stream_manifest(path):
        if (one.source_lang, one.task) != (language, task):
            raise UsageError(
                f"{path}: '{one.id}' is {one.task} of {one.source_lang}, and the file's name says {task} of "
                f"{language}; rename the manifest, or mend its languages."
            )
        clips, seconds = clips + 1, seconds + one.duration
    return clips, seconds


def study_data(study: Study, beside: Path, out: Path, prepare: bool = True) -> StudyData:
    """The study's data, with what it prepares itself made in `OUT/data` where it is not there yet.

    Args:
        beside: the study file.
        out: the study's folder.
        prepare: whether to make what is missing.

    Raises:
        UsageError: a folder is missing.
        LorsError: a corpus cannot be had.
    """
    from lors.speech.corpora.prompts import prepare_prompts
    from lors.speech.corpora.stamps import prepare_stamps

    makers = {"prompts": prepare_prompts, "stamps": prepare_stamps}
    folders, to_prepare = [], []
    for source in study.data:
        if isinstance(source, Prepared):
            languages = _languages_of(study, source.prepare)
            if not languages:
                raise UsageError(
                    f"{beside}: none of the study's languages is in the corpus '{source.prepare}'."
                )
            folder = out / "data" / "-".join([source.prepare, *languages])
            if not prepare and not folder.is_dir():
                to_prepare.append(source.prepare)
            if prepare:
                makers[source.prepare](languages, folder, reuse=True)
        else:
            near = [Path(beside).parent / source, Path(source)]
            folder = next((one for one in near if one.is_dir()), near[0])
            if prepare and not folder.is_dir():
                raise UsageError(
                    f"{beside}: data '{source}': no such folder; looked for {near[0]} and {near[1]}."
                )
        folders.append(folder.absolute())
    return StudyData(folders, to_prepare)


def _languages_of(study: Study, corpus: str) -> list[str]:
    from lors.speech.corpora import prompt_sources, stamps_sources

    known = set(prompt_sources.VOICES if corpus == "prompts" else stamps_sources.LANGUAGES)
    wanted = [one for group in study.language_sets().values() for one in group.languages]
    wanted += [held_out.partition("-")[0] for held_out in study.held_out]
    return [language for language in dict.fromkeys(wanted) if language in known]
