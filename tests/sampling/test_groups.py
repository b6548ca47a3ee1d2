import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.sampling.groups import Groups

CASES = settings(deadline=None, derandomize=True, max_examples=40)
NUMBERS = st.lists(st.integers(-1, 4), max_size=12)


def draw_all(draw, asker, seed=0):
    rng = np.random.default_rng(seed)
    return set(draw(np.full(300, asker), rng).tolist())  # 12 members are missed 12 · e^-26 of the time


@CASES
@given(NUMBERS, NUMBERS)
def test_draws_reach_exactly_the_members_with_the_number_and_those_without(numbers, asked):
    members = np.arange(len(numbers)) + 50
    groups = Groups.of(members, np.array(numbers, int), np.array(asked, int))
    for asker, number in enumerate(asked):
        near = {50 + place for place, other in enumerate(numbers) if other == number}
        far = set(members.tolist()) - near
        assert groups.size[asker] == len(near)
        assert groups.others[asker] == len(far)
        assert not near or draw_all(groups.inside, asker) == near
        assert not far or draw_all(groups.outside, asker) == far


@CASES
@given(NUMBERS, NUMBERS)
def test_visits_are_those_of_the_loops(numbers, asked):
    rng = np.random.default_rng(len(numbers))
    inside, outside = rng.random((2, len(asked)))
    groups = Groups.of(np.arange(len(numbers)), np.array(numbers, int), np.array(asked, int))
    expected = dict.fromkeys(range(len(numbers)), 0.0)
    for asker, number in enumerate(asked):
        near = [place for place, other in enumerate(numbers) if other == number]
        far = [place for place, other in enumerate(numbers) if other != number]
        for place in near:
            expected[place] += inside[asker] / len(near)
        for place in far:
            expected[place] += outside[asker] / len(far)
    visits = groups.visits(inside, outside)
    np.testing.assert_allclose(visits, [expected[member] for member in groups.members], atol=1e-12)


def test_drawing_for_nobody_gives_nothing():
    nobody = np.zeros(0, int)
    groups = Groups.of(nobody, nobody, np.array([1]))
    rng = np.random.default_rng(0)
    assert groups.inside(nobody, rng).tolist() == groups.outside(nobody, rng).tolist() == []
