"""Sparse BM25 vectors: stems, saturation, and what stays empty."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from transforms.encoders.words import document_vector, query_vector, term_index, terms_of

ROOT = Path(__file__).parents[1]


def overlap(query: str, document: str) -> float:
    asked, said = query_vector(query), document_vector(document)
    _, left, right = np.intersect1d(asked.indices, said.indices, return_indices=True)
    return float(asked.values[left] @ said.values[right])


def test_a_word_is_found_whatever_its_ending_case_and_accents():
    assert overlap("countries", "ask what you can do for your COUNTRY") > 0
    assert overlap("cafe", "the Café\u2019s door") > 0
    assert overlap("Goddard", "at NASA's Goddard Space Flight Center") > 0
    assert overlap("telescope", "a rocket on the launch pad") == 0


def test_a_term_said_often_counts_more_but_never_without_bound():
    once, thrice, always = (overlap("rocket", " ".join(["rocket"] * n + ["pad"] * (99 - n))) for n in (1, 3, 99))
    assert once < thrice < 3 * once
    assert always < 2.2  # k1 + 1


def test_a_long_clip_dilutes_its_words():
    assert overlap("rocket", "rocket") > overlap("rocket", "rocket " + "launch pad tower " * 20)


def test_each_distinct_term_of_a_query_counts_once():
    vector = query_vector("rocket rockets Rocket pad")
    assert vector.values.tolist() == [1.0, 1.0]
    assert vector.indices.dtype == np.uint32 and vector.values.dtype == np.float32


@pytest.mark.parametrize("text", ["", "  \n", "the of and", "... !? —"])
def test_text_without_terms_gives_an_empty_vector(text):
    assert len(document_vector(text).indices) == len(query_vector(text).indices) == 0


def test_indices_are_distinct_and_sorted():
    indices = document_vector("a cyclist with a helmet waiting beside traffic and more traffic").indices
    assert np.all(np.diff(indices.astype(np.int64)) > 0)


def test_the_index_of_a_term_never_changes():
    assert terms_of("Rockets") == ["rocket"]
    code = "from transforms.encoders.words import term_index; print(term_index('rocket'))"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env={"PYTHONHASHSEED": "7"}
    )
    assert int(other.stdout) == term_index("rocket") == ROCKET


def test_undecodable_text_is_no_error():
    assert len(query_vector("\udcff rocket").indices) >= 1


ROCKET = 1144317208  # as the first release stored it
