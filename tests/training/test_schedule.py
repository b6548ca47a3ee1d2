import math

import pytest

from longtail.training.schedule import learning_rate


def test_it_rises_to_the_peak_and_falls_towards_zero():
    rates = [learning_rate(s, steps=100, peak=0.4, warmup=0.1) for s in range(100)]
    assert rates[:10] == pytest.approx([0.04 * (s + 1) for s in range(10)])
    assert rates[10] == pytest.approx(0.4)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 0.4 * 0.001


def test_half_way_down_it_is_half_the_peak():
    assert learning_rate(50, steps=100, peak=1.0, warmup=0.0) == pytest.approx(0.5)


def test_the_cosine_is_the_one_of_its_equation():
    assert learning_rate(30, steps=100, peak=2.0, warmup=0.05) == pytest.approx(
        1 + math.cos(math.pi * (30 - 5) / 95)
    )


def test_a_part_of_a_step_of_warming_up_is_a_step():
    rates = [learning_rate(s, steps=45, peak=1.0, warmup=0.05) for s in range(4)]
    assert rates == pytest.approx([1 / 3, 2 / 3, 1, 1])
