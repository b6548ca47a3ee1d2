import threading

import pytest

from longtail import threads


@pytest.mark.parametrize("total", [0, 1, 64, 65, 200])
def test_results_come_in_order_and_progress_by_block(total):
    heard = []
    assert [*threads.each(lambda item: item * item, total, lambda *done: heard.append(done))] == [
        item * item for item in range(total)
    ]
    assert heard == [(min(start + threads.BLOCK, total), total) for start in range(0, total, threads.BLOCK)]


def test_blocks_that_wait_are_left_when_nobody_listens_any_more(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 1)
    free, seen = threading.Event(), []

    def work(item):
        if item >= threads.BLOCK:
            free.wait(10)
        seen.append(item)

    results = threads.each(work, 100 * threads.BLOCK)
    next(results)
    threading.Timer(0.05, free.set).start()
    results.close()
    assert max(seen) < 3 * threads.BLOCK


def test_a_mistake_of_the_work_is_raised_where_the_results_are_read():
    def work(item):
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 0"):
        next(threads.each(work, 3))
