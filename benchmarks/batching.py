"""What the shared queue of a model costs and gains: throughput against a bare loop, and full batches of four bundles.

The bare loop calls the same network on the same batches and brings what it gives to unit length.
"""

import argparse
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from report import figure, finish, paired

from transforms.encoders.encoder import Encoder
from transforms.encoders.registry import handler, loaded
from transforms.encoders.windows import unit_length

IMAGES, TEXTS = "conse:tf_efficientnet_lite2", "sentence-transformers:all-MiniLM-L6-v2"


def through_the_handler(name: str, inputs: Any) -> Callable[[], float]:
    """Seconds of one call with everything in it."""
    found = handler(name, device="cpu")
    model = found.load_model()
    batch = [inputs] if isinstance(inputs, np.ndarray) else inputs

    def run() -> float:
        began = time.perf_counter()
        found.run_inference(batch, model)
        return time.perf_counter() - began

    return run


def in_a_loop(run: Callable[[Any], Any], inputs: Any, size: int) -> Callable[[], float]:
    """Seconds of a loop over batches of `size`."""

    def loop() -> float:
        began = time.perf_counter()
        for start in range(0, len(inputs), size):
            unit_length(np.asarray(run(inputs[start : start + size]), np.float32))
        return time.perf_counter() - began

    return loop


def four_bundles(encoder: Encoder, segments: int) -> tuple[float, int]:
    """The share of full batches when four bundles bring segments of uneven sizes, with decoding in between."""
    queue = encoder.batches["frames"]
    before, full_before = queue.batches_count, queue.full_batches_count
    spec = encoder.card.frame_spec
    assert spec is not None

    def bundle(own: int) -> None:
        chance = random.Random(own)
        encoder.register(own)
        for _ in range(segments):
            time.sleep(chance.uniform(0.0, 0.02))  # what decoding ahead left to wait for
            encoder.frames(np.zeros((chance.randint(40, 64), spec.height, spec.width, 3), np.uint8))
        encoder.unregister(own)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(bundle, range(4)))
    count = queue.batches_count - before
    return (queue.full_batches_count - full_before) / count, count


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--segments", type=int, default=3, help="a bundle")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    images, texts = (loaded(name, device="cpu").model for name in (IMAGES, TEXTS))
    spec = images.card.frame_spec
    assert spec is not None
    shape = (arguments.frames, spec.height, spec.width, 3)
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    said = [f"clip {number} shows a rocket and then {number % 17} cats" for number in range(arguments.texts)]
    bare_images = in_a_loop(images.network.frames, pixels, images.network.batch_items("image"))
    ours, bare, ratio = paired(bare_images, through_the_handler(IMAGES, pixels))
    figure("frames a second through the handler", arguments.frames / bare, "")
    figure("handler throughput / bare loop, frames", ratio, "", at_least=0.95)
    bare_texts = in_a_loop(lambda part: texts.network.texts(part, "document"), said, texts.network.batch_items("text"))
    ours, bare, ratio = paired(bare_texts, through_the_handler(TEXTS, said))
    figure("texts a second through the handler", arguments.texts / bare, "")
    figure("handler throughput / bare loop, texts", ratio, "", at_least=0.95)
    share, count = four_bundles(images, arguments.segments)
    figure(f"full batches of {count} when 4 bundles run at once", share, "", at_least=0.9)
    finish()
