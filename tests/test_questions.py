"""Tables that users write: what is read, and what is said of a table at fault."""

from pathlib import Path

import pytest

from pipelines.asked import Asked
from pipelines.questions import Question, check, lengths_of, read_copies, read_questions
from pipelines.search import Searcher
from tests.small_index import the_index, the_recipe, the_searcher  # noqa: F401  (fixtures)
from transforms.errors import UsageError
from transforms.uris import uri_of_path

HEADER = "query\tmodality\trelevant\tstart_seconds\tend_seconds\tnote\n"


def written(folder: Path, content: str) -> Path:
    table = folder / "queries.tsv"
    table.write_text(content)
    return table


def test_a_table_of_questions_reads_as_it_is_written(tmp_path: Path) -> None:
    rows = 'what "he" said\tspeech\ta.mp4|sub/b c.mp4\t1:30\t95.5\tby ear\na cat\tvisual\tc.mp4\r\n\n \t\t\n'
    first, second = read_questions(written(tmp_path, HEADER + rows), media=tmp_path)
    assert (first.text, first.kind) == ('what "he" said', "speech")
    assert first.relevant == (uri_of_path(tmp_path / "a.mp4"), uri_of_path(tmp_path / "sub" / "b c.mp4"))
    assert (first.start_seconds, first.end_seconds) == (90.0, 95.5)
    assert second.relevant == (uri_of_path(tmp_path / "c.mp4"),)
    assert (second.start_seconds, second.end_seconds, second.options) == (None, None, {})


def test_a_right_file_may_be_a_whole_uri(tmp_path: Path) -> None:
    (one,) = read_questions(written(tmp_path, HEADER + "a cat\tvisual\tgs://films/c.mp4|c.mp4\n"), media=tmp_path)
    assert one.relevant == ("gs://films/c.mp4", uri_of_path(tmp_path / "c.mp4"))


def test_further_columns_are_handed_to_the_search_where_they_are_filled(tmp_path: Path) -> None:
    rows = (
        "a cat\torder\ta.mp4\ta rocket\t60s\t\t1:00 2:00\na dog\tvisual\tb.mp4\t\t\t\t\nrain\tany\tc.mp4\t\t\t1:30\t\n"
    )
    header = "query\tmodality\trelevant\tthen\twithin\tnear\tbetween\n"
    first, second, third = read_questions(written(tmp_path, header + rows), media=tmp_path)
    assert first.options == {"then": "a rocket", "within_seconds": 60.0, "between_seconds": (60.0, 120.0)}
    assert (second.options, third.options) == ({}, {"near_seconds": 90.0})
    assert first.asked(by="rrf", limit=7) == Asked("a cat", by="rrf", limit=7, **first.options)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("question\tmodality\trelevant\n", "line 1 .* missing: query; unknown or named twice: 'question'"),
        ("query\tmodality\trelevant\tstart\n", "unknown or named twice: 'start'"),
        ("query\tmodality\trelevant\tquery\n", "unknown or named twice: 'query'"),
        ("query,modality,relevant\n", "separated by tabs; missing: query, modality, relevant"),
        ("", "line 1"),
        (HEADER, "asks no questions"),
        (HEADER + "\n \t \n", "asks no questions"),
        (HEADER + "a cat\tvisual\n", 'line 2.*"relevant" must not be empty'),
        (HEADER + "a cat\tvisual\t | \n", 'line 2.*"relevant" must not be empty'),
        (HEADER + "ok\tvisual\ta.mp4\na cat\tvisual\ta.mp4\tsoon\n", "line 3.*start_seconds.*soon"),
        (HEADER + "a cat\tvisual\ta.mp4\t5\t3\n", "line 2.*ends after it starts"),
        (HEADER + "a cat\tvisual\ta.mp4\t5\t6\tnote\tmore\n", "line 2.*7 cells"),
        ("query\tmodality\trelevant\tbetween\na\torder\tb.mp4\t2:00 1:00\n", "line 2.*between.*ends after it starts"),
        ("query\tmodality\trelevant\tbetween\na\torder\tb.mp4\t2:00\n", "line 2.*between.*1:00 2:00"),
        ("query\tmodality\trelevant\tthen\tnear\na\torder\tb.mp4\tc\t9\n", "line 2.*--then.* not with --near"),
        ("query\tmodality\trelevant\twithin\na\torder\tb.mp4\t9\n", "line 2.*--within.*needs a --then"),
    ],
)
def test_a_broken_table_is_wrong_usage_and_names_the_line(tmp_path: Path, content: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read_questions(written(tmp_path, content), media=tmp_path)


def test_missing_questions_or_media_are_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none"):
        read_questions(tmp_path / "none.tsv", media=tmp_path)
    with pytest.raises(UsageError, match="nowhere"):
        read_questions(written(tmp_path, HEADER + "a\tvisual\ta.mp4\n"), media=tmp_path / "nowhere")
    (tmp_path / "latin.tsv").write_bytes(HEADER.encode() + "Käse\tvisual\ta.mp4\n".encode("latin-1"))
    with pytest.raises(UsageError, match="not UTF-8"):
        read_questions(tmp_path / "latin.tsv", media=tmp_path)


def test_a_right_file_that_exists_nowhere_is_named_with_its_line(searcher: Searcher) -> None:
    asked = [Question("a fish", "visual", (uri_of_path("/films/sea.mp4"),), where="line 7 of q.tsv")]
    with pytest.raises(UsageError, match=r"line 7 of q.tsv: 'a fish'.*/films/sea.mp4 does not exist"):
        check(asked, lengths_of(searcher.reader, asked))


def test_a_right_file_that_exists_but_was_not_indexed_is_no_mistake_of_the_table(
    searcher: Searcher, tmp_path: Path
) -> None:
    (tmp_path / "sea.mp4").write_bytes(b"")
    asked = [Question("a fish", "visual", (uri_of_path(tmp_path / "sea.mp4"),))]
    lengths = lengths_of(searcher.reader, asked)
    check(asked, lengths)
    assert lengths == {uri_of_path(tmp_path / "sea.mp4"): None}


def test_a_span_outside_every_right_video_is_named_with_its_line(searcher: Searcher) -> None:
    launch, zoo = uri_of_path("/films/launch.mp4"), uri_of_path("/films/zoo.ts")  # 90.5 s each
    inside = Question("a rocket", "visual", (launch, zoo), 90.0, 400.0)
    outside = Question("a rocket", "visual", (launch, zoo), 90.5, 400.0, where="line 3 of q.tsv")
    check([inside], lengths_of(searcher.reader, [inside]))
    with pytest.raises(UsageError, match=r"line 3 of q.tsv.*starts at 90.5 s.*90.50 s"):
        check([outside], lengths_of(searcher.reader, [outside]))


def test_copies_are_groups_and_every_other_file_stands_alone(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).touch()
    table = tmp_path / "duplicates.tsv"
    table.write_text("group\tfile\n\nsame\ta.mp4\nsame\tb.mp4\n")
    copies = read_copies(table, media=tmp_path)
    a, b, c = (uri_of_path(tmp_path / name) for name in ("a.mp4", "b.mp4", "c.mp4"))
    assert copies.of(a) == copies.of(b) != copies.of(c) == c


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("group\tname\n", "missing: file"),
        ("group\tfile\nsame\tgone.mp4\n", "line 2.*no file 'gone.mp4'"),
        ("group\tfile\nsame\t\n", 'line 2.*"file" must not be empty'),
        ("group\tfile\nsame\ta.mp4\nother\ta.mp4\n", "line 3.*two groups, 'same' and 'other'"),
    ],
)
def test_a_broken_table_of_copies_is_wrong_usage_and_names_the_line(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "a.mp4").touch()
    table = tmp_path / "duplicates.tsv"
    table.write_text(content)
    with pytest.raises(UsageError, match=told):
        read_copies(table, media=tmp_path)


def test_the_questions_of_the_real_corpus_can_be_read(media: Path) -> None:
    questions = read_questions(media / "queries.tsv", media=media)
    copies = read_copies(media / "duplicates.tsv", media=media)
    assert {"visual", "speech", "ocr", "sound", "order"} <= {question.kind for question in questions}
    assert len(set(copies.group_of.values())) < len(copies.group_of)
    check(questions, dict.fromkeys(uri for question in questions for uri in question.relevant))
