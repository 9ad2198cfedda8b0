"""What users import: load an encoder, fill an index, open it, search.

    import reelvec

    reelvec.ingest(reelvec.IngestSettings(sources=("~/Movies",), index="movies.reelvec"))
    with reelvec.Searcher("movies.reelvec") as index:
        for hit in index.search("a rocket on the launch pad", limit=5):
            print(hit.video, hit.start_seconds, hit.transcript)

    clip = reelvec.load("offline")  # a recipe, or one encoder: reelvec.available() lists them
    clip.similarity("a cat", pathlib.Path("cat.jpg"))

Names are looked up when they are used, so that `import reelvec` imports neither Beam nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.asked import Asked as Asked
    from pipelines.embedder import load as load
    from pipelines.ingest import ingest as ingest
    from pipelines.search import Searcher as Searcher
    from pipelines.search import SearchHit as SearchHit
    from pipelines.settings import IngestSettings as IngestSettings
    from pipelines.status import StatusReport as StatusReport
    from pipelines.status import forget as forget
    from pipelines.status import status as status
    from pipelines.summary import IngestSummary as IngestSummary
    from transforms.encoders.listing import catalogue as available

_HOMES = {
    "Asked": ("pipelines.asked", "Asked"),
    "IngestSettings": ("pipelines.settings", "IngestSettings"),
    "IngestSummary": ("pipelines.summary", "IngestSummary"),
    "SearchHit": ("pipelines.search", "SearchHit"),
    "Searcher": ("pipelines.search", "Searcher"),
    "StatusReport": ("pipelines.status", "StatusReport"),
    "available": ("transforms.encoders.listing", "catalogue"),
    "forget": ("pipelines.status", "forget"),
    "ingest": ("pipelines.ingest", "ingest"),
    "load": ("pipelines.embedder", "load"),
    "status": ("pipelines.status", "status"),
}

__all__ = [
    "Asked",
    "IngestSettings",
    "IngestSummary",
    "SearchHit",
    "Searcher",
    "StatusReport",
    "available",
    "forget",
    "ingest",
    "load",
    "status",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"reelvec has no {name!r}; it has {', '.join(__all__)}")
    module, own = _HOMES[name]
    return getattr(import_module(module), own)
