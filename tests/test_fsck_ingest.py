"""What real runs leave, killed ones too, fsck finds sound."""

import signal
import subprocess

from pipelines.fsck.run import fsck
from pipelines.status import forget
from tests.test_ingest import Box, render
from tests.test_killed import start
from transforms.index.kinds import clips_of
from transforms.index.open import open_writer, read_schema, release


def kinds(box, **options):
    return {problem.kind for problem in fsck(box.location, corpus=[str(box.corpus)], **options).problems}


def test_an_index_is_sound_after_runs_moves_forgetting_and_a_kill_and_mended_by_the_run_after_a_repair(tmp_path):
    box = Box(tmp_path)
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "green"), ("d", "white")):
        render(box.corpus / f"{name}.mp4", colour=colour, seconds=3)
    (box.corpus / "broken.mp4").write_bytes(b"\x00" * 3000)
    box.run()
    assert kinds(box) == set()
    (box.corpus / "a.mp4").rename(box.corpus / "moved.mp4")
    assert kinds(box) == {"corpus_new", "corpus_vanished"}
    box.run()
    assert kinds(box) == set()
    forget(box.location, str(box.corpus / "b.mp4"))
    assert kinds(box) == set()

    render(box.corpus / "long.mp4", colour="yellow", seconds=150)
    process = start(box.corpus, box.index)
    try:
        process.wait(timeout=8)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    box.run()
    assert kinds(box) == set()

    schema = read_schema(box.location)
    store = open_writer(box.location, schema)
    uri = next(video for video in store.scroll(clips_of((box.corpus / "c.mp4").as_uri()))).payload["uri"]
    store.delete(clips_of(uri))
    store.flush()
    store.close()
    release(box.location)
    assert "published_differs" in kinds(box)
    assert kinds(box, repair=True) == set()
    assert [reject for reject in box.videos()["c.mp4"].rejects if "damaged" in reject]
    summary = box.run()
    assert (summary.videos_indexed, summary.videos_rejected) == (1, 1)
    assert kinds(box) == set() and box.videos()["c.mp4"].state == "committed"
