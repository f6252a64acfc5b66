from pathlib import Path

import matplotlib.image

from lors.study.quickstart.chart import Bar, draw_bars


def test_a_chart_is_drawn_twice_the_same(tmp_path: Path) -> None:
    bars = [
        Bar(system, language, value, value - 1, value + 2, 40)
        for system, language, value in [
            ("pretrained", "es", 12.0),
            ("pretrained", "fr", 9.0),
            ("LoRS", "es", 5.0),
            ("LoRS", "fr", 6.0),
        ]
    ]
    for name in ("one.png", "two.png"):
        draw_bars(bars, tmp_path / name, "Title", "WER (%)")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    picture = matplotlib.image.imread(tmp_path / "one.png")
    blue = (abs(picture[..., :3] - [0.0, 0x72 / 255, 0xB2 / 255]) < 0.02).all(axis=-1)
    bars_only = blue[: picture.shape[0] - 100]  # the legend is below
    zero = bars_only.any(axis=0).nonzero()[0].min()
    lengths = [int(row[zero:].argmin()) for row in bars_only]
    middle = len(lengths) // 2
    # The Spanish bars of the two systems: 12 and 5 per cent from the same zero.
    assert abs(max(lengths[:middle]) / max(lengths[middle:]) - 12 / 5) < 0.05
