"""Names -> cards: what an encoder is, before anything of it is loaded. Imports no library of models.

card("conse:tf_efficientnet_lite2")              # packaged
card("open_clip:ViT-B-32/laion2b_s34b_b79k")     # from a hub; its small files tell the rest
card("clap:./my-clap?dimensions=256")
"""

import difflib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from transforms.encoders.cards import PACKAGED, Card
from transforms.encoders.family import Family, families, family
from transforms.encoders.hub import bucket_copy, locate
from transforms.encoders.names import Name
from transforms.encoders.weights import sha256_of
from transforms.errors import MissingPackage, MissingWeights, UsageError
from transforms.records import Scalar


def card(name: str) -> Card:
    """The card of this name, its options applied.

    Raises UsageError for an unknown name, suggesting the nearest ones; MissingPackage and MissingWeights,
    naming the cure, for what cannot be described before it is here.
    """
    return _card(name, str(Path.cwd()) if "./" in name else "", _state(name))


@lru_cache(maxsize=1024)
def _card(name: str, cwd: str, state: tuple[object, ...]) -> Card:
    return describe(name)


def _state(name: str) -> tuple[object, ...]:
    """What changes when a file changes that a name points to, by its model or in its options; reads none of them."""
    if name in PACKAGED:
        return ()
    try:
        asked = Name.parse(name)
        places = [Path(asked.model).expanduser()] if asked.is_local else []
        places += [bucket_copy(asked.model)] if asked.is_bucket else []
        places += [Path(asked.option("pca")).expanduser()] if asked.option("pca") else []
    except UsageError:
        return ()  # `describe` says why
    files = [file for place in places for file in (place, *place.glob("*"), *place.glob("*/*"))]
    own = tuple(one for file in files if (one := _file_state(file)))
    return own + tuple(one for _, value in asked.options if ":" in value for one in _state(value))


def _file_state(path: Path) -> tuple[object, ...]:
    try:
        about = path.stat()
    except OSError:
        return ()
    return str(path), about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def describe(name: str) -> Card:
    """What `card` gives, made anew: nothing is kept of it."""
    if name in PACKAGED:
        return PACKAGED[name]
    asked = Name.parse(name)
    found = family(asked.family)
    asked.choice("precision", found.precisions)
    if asked.flag("compile") and not found.compiles:
        raise UsageError(f"{found.name} runs no network that torch compiles; leave compile=true out: name={name!r}")
    plain = f"{asked.family}:{asked.model}"
    if plain in PACKAGED and not asked.revision:
        return _with_options(replace(_packaged(asked, PACKAGED[plain]), identity=plain), asked)
    if not found.unavailable and (missing := found.missing_packages):
        raise MissingPackage(
            f"{name} needs the package {' and '.join(missing)}; install it with: pip install 'reelvec[{found.extra}]'"
        )
    module = found.load_module()
    folder = _folder(asked, found)
    described: Card = module.describe(asked, folder)
    if described.name != str(asked):
        raise ValueError(f"a card bears the name that was asked for: name={described.name!r}, asked={str(asked)!r}")
    return _with_options(described, asked)


def packaged() -> tuple[Card, ...]:
    """The encoders whose weights come with packages: they need no hub."""
    return tuple(PACKAGED.values())


def text_encoder_of(name: str) -> Card:
    """The encoder that turns text into this encoder's space; raises UsageError where text cannot ask it."""
    asked = card(name)
    if asked.text_queries and asked.text_encoder:
        return card(asked.text_encoder)
    if asked.text_queries and "text" in asked.accepts:
        return asked
    raise UsageError(f"{name} has no text tower: no text can be compared with what it gives; ask it by another vector")


def known_names() -> tuple[str, ...]:
    """Every name that this machine can suggest."""
    return tuple(f"{one.name}:{model}" for one in families() for model in one.models)


def suggestions(name: str) -> str:
    """The nearest names, for messages; "" where nothing is near."""
    return " or ".join(difflib.get_close_matches(name, known_names(), n=3, cutoff=0.5))


def _folder(asked: Name, found: Family) -> Path | None:
    if found.weights not in ("hub", "corpus"):
        if found.models and found.weights != "service" and asked.model not in found.models:
            near = difflib.get_close_matches(asked.model, found.models, n=2, cutoff=0.0)
            raise UsageError(
                f"unknown model {asked.model!r} of {found.name}; did you mean {found.name}:{' or '.join(near)}?"
            )
        return None
    repository = getattr(found.load_module(), "repository", None)
    try:
        return locate(asked, repository(asked) if repository else asked.model)
    except MissingWeights as error:
        plain = f"{asked.family}:{asked.model}"
        meant = suggestions(plain)
        if not meant or plain in known_names():
            raise
        raise MissingWeights(f"{error} (or did you mean {meant}?)") from error


def _packaged(asked: Name, plain: Card) -> Card:
    """A packaged card with what its family lets a name change of it."""
    changed = getattr(family(asked.family).load_module(), "changed", None)
    if changed is None:
        asked.check_options()
        return plain
    settings: dict[str, Scalar] = changed(asked)
    return replace(plain, settings=tuple({**dict(plain.settings), **settings}.items()))


def _with_options(plain: Card, asked: Name) -> Card:
    """The card with the options that every family has: smaller vectors and another precision."""
    usual = family(asked.family).precisions[0]
    precision = asked.option("precision", usual)
    changed = replace(plain, name=str(asked))
    if precision != usual:
        changed = replace(changed, settings=(*changed.settings, ("precision", precision)))
    if "pca" in dict(asked.options):
        changed = _projected(changed, Path(asked.option("pca")).expanduser())
    if size := asked.number("dimensions", 0):
        changed = _truncated(changed, size, asked)
    if adapter := asked.option("adapter"):
        changed = _adapted(changed, Path(adapter).expanduser())
    if changed.text_encoder and asked.options:
        text = Name.parse(changed.text_encoder)
        kept = {key: value for key, value in asked.options if key in ("pca", "dimensions", "matryoshka")}
        changed = replace(changed, text_encoder=str(text.with_options(kept)))
    return changed


def _truncated(plain: Card, size: int, asked: Name) -> Card:
    if size > plain.dimensions:
        raise UsageError(f"{asked.family}:{asked.model} gives {plain.dimensions} dimensions, not {size}")
    trained = plain.matryoshka_dimensions
    if size < plain.dimensions and size not in trained and not asked.flag("matryoshka") and not asked.option("pca"):
        told = f", only to {', '.join(map(str, trained))}" if trained else ""
        raise UsageError(
            f"{asked.family}:{asked.model} does not say that its vectors may be cut to {size} of {plain.dimensions} "
            f"dimensions (Matryoshka){told}; fit components and say pca=FILE, or say matryoshka=true if you know that "
            "it may"
        )
    settings = (*plain.settings, ("keep_dimensions", size))
    return replace(plain, dimensions=size, space=f"{plain.space}/{size}", settings=settings)


def _adapted(plain: Card, path: Path) -> Card:
    """The card with an adapter over what is no text. Raises UsageError for one of other vectors."""
    from transforms.encoders.fusion.trained import read_trained

    trained = read_trained(path, "adapter")
    if not any(kind in plain.accepts for kind in ("image", "sound", "clip")):
        raise UsageError(
            f"an adapter brings pictures, sounds or clips nearer to texts; {plain.name} takes none of them"
        )
    if trained.dimensions != plain.dimensions:
        raise UsageError(
            f"{path} adapts vectors of {trained.dimensions} dimensions; those of {plain.name} have {plain.dimensions}"
        )
    trained.check_inputs({"encoder": plain.fingerprint})
    return replace(plain, settings=(*plain.settings, ("adapter", sha256_of(path))))


def _projected(plain: Card, path: Path) -> Card:
    from transforms.encoders.reduce import load_components

    reduction = load_components(path)
    assert reduction.components is not None
    if reduction.components.shape[1] != plain.dimensions:
        raise UsageError(
            f"{path} holds components of vectors of {reduction.components.shape[1]} dimensions; those of {plain.name} "
            f"have {plain.dimensions}; fit them on this encoder's"
        )
    sha256 = sha256_of(path)
    return replace(
        plain,
        dimensions=len(reduction.components),
        space=f"{plain.space}/pca-{sha256[:8]}",
        settings=(*plain.settings, ("pca", sha256)),
    )
