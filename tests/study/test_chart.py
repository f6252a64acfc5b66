from pathlib import Path

import matplotlib.image

from lors.study.chart import Bar, draw_bars


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
    left = blue.any(axis=0).nonzero()[0].min()
    legend_below = picture.shape[0] - 100
    ends = [row.nonzero()[0].max() for row in blue[:legend_below] if row[left : left + 300].sum() > 100]
    zero = min(row.nonzero()[0].min() for row in blue[:legend_below] if row.any())
    upper, lower = max(ends[: len(ends) // 2]), max(ends[len(ends) // 2 :])
    # The Spanish bars of the two systems: 12 and 5 per cent from the same zero.
    assert abs((upper - zero) / (lower - zero) - 12 / 5) < 0.05
