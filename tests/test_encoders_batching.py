"""One model, one queue: full batches across bundles, nobody waits for ever, failures reach those they concern."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.families.sound import save_clap
from tests.families.text import save_sentence
from transforms.encoders import batching
from transforms.encoders.batching import SharedBatches
from transforms.encoders.registry import loaded
from transforms.records import Float32


def test_results_come_back_in_order_and_to_their_own_caller():
    batches = SharedBatches(lambda part: [item * 10 for item in part], size=3)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(batches, [[n, n + 1, n + 2, n + 3] for n in range(0, 400, 4)]))
    assert [item for own in found for item in own] == [n * 10 for n in range(400)]


def test_an_empty_call_runs_nothing():
    assert SharedBatches(lambda part: pytest.fail("ran"), size=4)([]) == []


def test_bundles_fill_each_others_batches():
    def run(part: list[int]) -> list[int]:
        time.sleep(0.001)
        return list(part)

    batches = SharedBatches(run, size=8)

    def bundle(own: int) -> None:
        for _ in range(50):
            assert batches([own] * 6) == [own] * 6
        batches.unregister(own)

    for own in range(4):
        batches.register(own)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(bundle, range(4)))
    assert batches.full_batches_count / batches.batches_count > 0.8  # alone, each would give none


def test_a_single_bundle_waits_for_nobody():
    batches = SharedBatches(list, size=100, wait_seconds=60.0)
    batches.register("only")
    assert batches([1, 2]) == [1, 2]


def test_a_bundle_that_ended_is_not_waited_for():
    batches = SharedBatches(list, size=100, wait_seconds=60.0)
    for bundle in ("one", "two"):
        batches.register(bundle)
    threading.Timer(0.05, batches.unregister, ["two"]).start()
    assert batches([1]) == [1]


def test_a_bundle_that_never_comes_is_waited_for_a_moment_only():
    batches = SharedBatches(list, size=100, wait_seconds=0.01)
    for bundle in ("works", "sleeps"):
        batches.register(bundle)
    assert batches([1]) == [1]


def test_a_failure_reaches_everyone_in_its_batch_and_nobody_else():
    def run(part: list[int]) -> list[int]:
        if 13 in part:
            raise ValueError("thirteen")
        return part

    batches = SharedBatches(run, size=2)
    with pytest.raises(ValueError, match="thirteen"):
        batches([1, 2, 13, 4, 5])
    assert batches([7, 8, 9]) == [7, 8, 9]
    both = SharedBatches(run, size=4, wait_seconds=60.0)
    for bundle in ("one", "two"):
        both.register(bundle)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(both, items) for items in ([13, 1], [2, 3])]
    failures = [call.exception() for call in calls]
    assert [(type(one), str(one)) for one in failures] == [(ValueError, "thirteen")] * 2
    assert failures[0] is not failures[1]  # threads that raise one exception grow its traceback together


def test_a_failure_keeps_its_class_even_where_it_cannot_be_copied():
    class Wordy(Exception):
        def __init__(self, *, said: str) -> None:
            super().__init__(said)

    def run(part: list[int]) -> list[int]:
        raise Wordy(said="no")

    with pytest.raises(Wordy, match="no"):
        SharedBatches(run, size=4)([1])


def test_nobody_waits_for_a_batch_that_could_not_be_put_together(monkeypatch: pytest.MonkeyPatch):
    plain = batching._joined

    def joined(parts: Sequence[Any]) -> Any:
        if len(parts) > 1:
            raise MemoryError("no room for the batch")
        return plain(parts)

    monkeypatch.setattr(batching, "_joined", joined)
    batches = SharedBatches(list, size=4, wait_seconds=60.0)
    for bundle in ("one", "two"):
        batches.register(bundle)
    pool = ThreadPoolExecutor(2)
    calls = [pool.submit(batches, items) for items in ([1, 2], [3, 4])]
    assert [type(call.exception(timeout=10)) for call in calls] == [MemoryError, MemoryError]
    batches.unregister("two")
    assert batches([5]) == [5]


def test_arrays_of_other_shapes_never_share_a_batch():
    seen = []

    def run(part: np.ndarray) -> list[float]:
        seen.append(part.shape)
        return list(part.reshape(len(part), -1).sum(1))

    batches = SharedBatches(run, size=8, wait_seconds=60.0)
    for bundle in ("small", "large"):
        batches.register(bundle)
    with ThreadPoolExecutor(2) as pool:
        small, large = pool.map(batches, [np.ones((3, 2, 2)), np.ones((5, 4, 4))])
    assert small == [4.0] * 3 and large == [16.0] * 5
    assert sorted(seen) == [(3, 2, 2), (5, 4, 4)]


def test_a_model_that_loses_a_result_is_found_out():
    with pytest.raises(RuntimeError, match="1 results for 2 inputs"):
        SharedBatches(lambda part: part[:1], size=4)([1, 2])


@pytest.mark.parametrize("save", [save_clap, save_sentence])
def test_texts_of_several_threads_are_cut_where_those_of_one_are(save: Callable[[Path], str], tmp_path: Path) -> None:
    encoder = loaded(save(tmp_path), device="cpu").model
    long = " ".join(f"rocket launch cat {number}" for number in range(300))
    texts = ["a cat", "two cats sleep on a sofa while it rains", long]
    wanted = encoder.texts(texts)

    def encode(_: int) -> list[Float32]:
        encoder.register(threading.get_ident())
        try:
            return encoder.texts(texts)
        finally:
            encoder.unregister(threading.get_ident())

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(encode, range(48)):
            np.testing.assert_allclose(found, wanted, atol=1e-4)
