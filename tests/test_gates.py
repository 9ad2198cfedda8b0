"""Gates: what they name, when they are met, and what is said of one that names nothing."""

from typing import Any

import pytest

from pipelines.gates import Gate, judge, parse_gate
from transforms.errors import UsageError

STRATEGIES, KINDS = ("auto", "frame", "ocr"), ("visual", "ocr", "all")


def parsed(text: str) -> Gate:
    return parse_gate(text, strategies=STRATEGIES, kinds=KINDS)


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("recall@5>=0.6", Gate("auto", "all", "recall@5", ">=", 0.6)),
        ("auto.visual.recall@5>=0.6", Gate("auto", "visual", "recall@5", ">=", 0.6)),
        ("visual.map > .5", Gate("auto", "visual", "map", ">", 0.5)),
        (" frame.median_rank<=3 ", Gate("frame", "all", "median_rank", "<=", 3.0)),
        ("ocr.all.ndcg@10<1e-1", Gate("ocr", "all", "ndcg@10", "<", 0.1)),
    ],
)
def test_a_gate_names_a_figure_of_one_strategy_and_kind(text: str, gate: Gate) -> None:
    assert parsed(text) == gate


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("recall@5", "written as"),
        ("recall@5>=much", "written as"),
        ("recall@5>=nan", "written as"),
        ("recall@5>=1e", "written as"),
        ("recall@7>=0.5", "recall@7.*recall@1, recall@5, recall@10, map"),
        ("audio.recall@5>=0.5", "auto.*frame.*visual"),
        ("auto.speech.recall@5>=0.5", "speech.*not measured.*visual, ocr, all"),
        ("a.b.c.recall@5>=0.5", "not measured"),
        ("ocr.recall@5>=0.5", r"write auto\.ocr\. or ocr\.all\."),
    ],
)
def test_what_is_no_gate_is_wrong_usage_and_names_those_that_are(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parsed(text)


def figures(**values: Any) -> dict[str, dict[str, dict[str, Any]]]:
    own = {"recall@1": 0.1, "recall@5": 0.5, "recall@10": 0.6, "map": 0.3, "ndcg@10": 0.3, "mrr": 0.3}
    own |= {"median_rank": 4.0, "span_hit": None} | values
    return {"auto": {"all": own | {f"{name}_ci95": [0.2, 0.7] for name in own} | {"queries": 9}}}


@pytest.mark.parametrize(
    ("gate", "met"), [("recall@5>=0.5", True), ("recall@5>0.5", False), ("recall@5<=0.5", True), ("map>=0.31", False)]
)
def test_a_gate_is_met_by_the_figure_itself(gate: str, met: bool) -> None:
    verdict = judge(parsed(gate), figures())
    assert verdict.met is met
    assert ("NOT met" in verdict.sentence) is not met
    assert "interval 0.2 to 0.7, 9 questions" in verdict.sentence


def test_a_median_rank_beyond_what_was_looked_at_meets_no_upper_limit() -> None:
    verdict = judge(parsed("median_rank<=1000"), figures(median_rank=None))
    assert (verdict.met, "beyond" in verdict.sentence) == (False, True)


def test_a_gate_on_a_figure_without_a_value_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="no value; those that have: recall@1"):
        judge(parsed("span_hit>=0.5"), figures())
