"""Ways of choosing frames: what each finds of the questions about pictures, and what it costs.

    python benchmarks/frame_choices.py --media FOLDER     # a folder with queries.tsv

Each way indexes the whole folder with the offline recipe's frame encoder alone.
"""

import argparse
import os
import tempfile
from pathlib import Path

from report import figure, finish

from pipelines.evaluate import evaluate, read_questions
from pipelines.ingest import ingest
from pipelines.search import Searcher
from pipelines.settings import IngestSettings
from transforms.index.query import LIVE_CLIPS
from transforms.recipe import load_recipe

CHOICES = ("keyframes", "every:1s", "uniform:8")


def recipe_file(folder: Path) -> str:
    """The offline recipe without ears."""
    encoder = load_recipe("offline").frame_encoder
    path = folder / "pictures.toml"
    path.write_text(f'name = "pictures"\n[frames]\nencoder = "{encoder}"\n')
    return str(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--media", type=Path, default=os.environ.get("REELVEC_TEST_MEDIA"))
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.media is None:
        print("left out: name a folder of videos with questions in queries.tsv, by --media or REELVEC_TEST_MEDIA")
        raise SystemExit
    media = Path(chosen.media)
    questions = [
        question for question in read_questions(media / "queries.tsv", media=media) if question.kind == "visual"
    ]
    for choice in CHOICES:
        with tempfile.TemporaryDirectory() as folder:
            recipe = recipe_file(Path(folder))
            index = f"{folder}/index"
            summary = ingest(IngestSettings(sources=(str(media),), index=index, recipe=recipe, frames=choice))
            figure(f"{choice}: whole ingest, speech left out", summary.wall_seconds, "s")
            with Searcher(index) as searcher:
                points = list(searcher.reader.scroll(LIVE_CLIPS))
                figure(f"{choice}: frames", sum(len(point.payload["frame_times_seconds"]) for point in points))
                for by in ("frame", "frames"):
                    figures = evaluate(searcher, questions, by=(by,)).figures[by]["visual"]
                    for name in ("recall@1", "recall@5", "recall@10"):
                        figure(f"{choice}: {name} by {by}", figures[name])
    finish()
