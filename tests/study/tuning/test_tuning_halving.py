"""Successive halving on costs that are known."""

from lors.study.tuning.halving import halved


def test_the_best_is_measured_on_all_clips_and_others_on_few() -> None:
    measured: list[tuple[int, int]] = []

    def measure(place: int, clips: int) -> float:
        measured.append((place, clips))
        return abs(place - 11)

    seen = halved(16, 32, 4, 3, 4, measure)
    # 11 is best; 10 before 12, 9 before 13, and so on, as of equal ones the first stays.
    assert seen == [4, 4, 4, 4, 4, 4, 4, 8, 8, 16, 32, 32, 32, 8, 8, 4]
    assert seen[11] == 32
    assert len(measured) == len(set(measured)) == 16 + 8 + 4 + 3


def test_few_candidates_are_all_measured_on_all_clips() -> None:
    assert halved(3, 30, 4, 4, 4, lambda place, clips: place) == [30, 30, 30]


def test_rounds_are_whole_batches_and_of_equal_ones_the_first_stays() -> None:
    sizes = set()

    def measure(place: int, clips: int) -> float:
        sizes.add(clips)
        return 0.0

    seen = halved(8, 50, 10, 2, 8, measure)
    assert sizes == {16, 32, 50}
    assert seen == [50, 50, 32, 32, 16, 16, 16, 16]


def test_a_cost_that_misleads_on_few_clips_is_found_out_among_those_that_stay() -> None:
    def measure(place: int, clips: int) -> float:
        return -place if clips < 20 else place

    seen = halved(8, 32, 4, 2, 4, measure)
    assert max(seen) == 32
