"""`lors finetune` with a clock around its training, so that it is timed as the stock recipe is.

    python benchmarks/finetune/ours.py TIMES.json finetune --base DIR …

`TIMES.json` gets {"train_seconds", "train_cpu_seconds", "steps"}.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    times, *command = sys.argv[1:]
    from lors.speech.training import WhisperTrainer

    whole = WhisperTrainer.train

    def train(self: WhisperTrainer, *arguments: Any, **others: Any) -> Any:
        start, cpu = time.monotonic(), time.process_time()
        result = whole(self, *arguments, **others)
        found = {
            "train_seconds": time.monotonic() - start,
            "train_cpu_seconds": time.process_time() - cpu,
            "steps": self.state.global_step,
        }
        Path(times).write_text(json.dumps(found), encoding="utf-8")
        return result

    WhisperTrainer.train = train
    sys.argv = ["lors", *command]
    from lors.cli.main import main as lors

    lors()


if __name__ == "__main__":
    main()
