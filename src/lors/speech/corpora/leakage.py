"""No clip and no speaker of development or test data in the training data."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class HeldOut:
    """The clips and the speakers of development and test data.

    Attributes:
        clips: names of files.
        speakers: as the corpus names them; who is not named is nobody.
    """

    clips: set[str] = field(default_factory=set)
    speakers: set[str] = field(default_factory=set)

    def add(self, clips_and_speakers: Iterable[tuple[str, str | None]]) -> None:
        """Hold out these clips and all that their speakers say."""
        for clip, speaker in clips_and_speakers:
            self.clips.add(clip)
            if speaker:
                self.speakers.add(speaker)

    def leak(self, clip: str, speaker: str | None) -> str | None:
        """Why a clip may not be trained on, in the words of the counts; None if it may."""
        if clip in self.clips:
            return "clip in dev or test too"
        if speaker and speaker in self.speakers:
            return "speaker in dev or test too"
        return None
