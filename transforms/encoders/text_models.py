"""What text models share: how many tokens one pass takes, where they lie in a text, prompts, padding, safe loading.

No text is cut off: what is longer than one pass goes through in pieces. Imports torch and transformers in functions.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from transforms.encoders.folders import read_config
from transforms.encoders.names import Name
from transforms.encoders.windows import pooled
from transforms.errors import MissingWeights, UsageError
from transforms.records import Float32

#: Attention's cost grows with the square of the tokens: models that allow more take this many, or `max_tokens`.
WIDEST_TOKENS = 8192
#: Where neither the model nor its tokenizer names a limit, as T5's relative positions do not.
_USUAL_TOKENS = 512
_PASS_TOKENS = 16_384  # with padding, in one forward pass
_POSITIONS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len")
#: Their first position is the one after the padding's id (RoBERTa and its kin).
_OFFSET = frozenset(
    "roberta xlm-roberta xlm-roberta-xl roberta-prelayernorm camembert mpnet longformer xmod ibert luke "
    "data2vec-text".split()
)
#: What the makers of E5 (Wang et al., 2022) have before every text, by their model cards; its files do not say it.
_E5 = re.compile(r"intfloat/(multilingual-)?e5-(small|base|large)(-v2)?")


def longest_pass(folder: Path, config: Mapping[str, Any], asked: int = 0) -> tuple[int, int]:
    """(tokens in one pass, those of them that are left for the text), the first being `asked` where it is not 0.

    Raises UsageError where more are asked for than the model has positions.
    """
    positions = _positions(config)
    if asked and positions and asked > positions:
        raise UsageError(f"the model has {positions} positions, fewer than max_tokens={asked}: {folder}")
    tokenizer = folder / "tokenizer_config.json"
    said = read_config(folder, tokenizer.name).get("model_max_length", 0) if tokenizer.is_file() else 0
    limits = [limit for limit in (positions, int(said or 0)) if limit > 0]
    whole = asked or min(min(limits, default=_USUAL_TOKENS), WIDEST_TOKENS)
    content = whole - special_tokens(folder)
    if content < 1:
        raise UsageError(f"one pass of {whole} tokens leaves none for the text: {folder}")
    return whole, content


def _positions(config: Mapping[str, Any]) -> int:
    said = config.get("text_config") or config
    positions = next((int(said[key]) for key in _POSITIONS if (said.get(key) or 0) > 0), 0)
    if positions and said.get("model_type") in _OFFSET:
        pad = said.get("pad_token_id")
        positions -= (1 if pad is None else pad) + 1
    return positions


def special_tokens(folder: Path) -> int:
    """How many tokens the tokenizer puts around a text: 2 where its file does not say."""
    if not (folder / "tokenizer.json").is_file():
        return 2
    return _added(read_config(folder, "tokenizer.json").get("post_processor"))


def _added(processor: Any) -> int:
    if not isinstance(processor, dict):
        return 0
    if processor.get("type") == "Sequence":
        return sum(_added(one) for one in processor.get("processors", ()))
    if processor.get("type") == "TemplateProcessing":
        return sum("SpecialToken" in piece for piece in processor["single"])
    return 2 if processor.get("type") in ("BertProcessing", "RobertaProcessing") else 0


def prompt_settings(name: Name, query: str = "", document: str = "") -> tuple[tuple[str, str], tuple[str, str]]:
    """The prompts of both roles as settings of a card: the name's options, else the model's own, else E5's."""
    if not query and not document and _E5.fullmatch(name.model):
        query, document = "query: ", "passage: "
    options = dict(name.options)
    return (
        ("query_prompt", options.get("query_prompt", query)),
        ("document_prompt", options.get("document_prompt", document)),
    )


def token_spans(tokenizer: Any, text: str) -> list[tuple[int, int]]:
    """Where each token begins and ends; a token's span takes in the spaces before it, so that none is lost."""
    if hasattr(tokenizer, "encode_batch"):  # of the library tokenizers, as static embeddings have it
        found = tokenizer.encode(text, add_special_tokens=False).offsets
    elif getattr(tokenizer, "is_fast", False):
        found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    else:
        return [found.span() for found in re.finditer(r"\s*\S+", text)]
    ends = np.maximum.accumulate([0, *(end for _, end in found)])
    return list(pairwise(ends.tolist()))


def token_ids(tokenizer: Any, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
    """The tokens of each text, whole; with `special` those around it too, and one at least."""
    if not texts:
        return []
    given = tokenizer(
        list(texts),
        add_special_tokens=special,
        padding=False,
        truncation=False,
        return_attention_mask=False,
        verbose=False,
    )
    found: list[list[int]] = given["input_ids"]
    if not special:
        return found
    ends = (tokenizer.eos_token_id, tokenizer.pad_token_id, 0)
    alone = next(token for token in ends if token is not None)
    return [ids or [alone] for ids in found]


def token_counter(tokenizer: Any) -> Callable[[Sequence[str]], list[int]]:
    """What says how many tokens each text has, without those around it."""
    return lambda texts: [len(ids) for ids in token_ids(tokenizer, texts, special=False)]


def passes(lengths: Sequence[int]) -> Iterable[list[int]]:
    """The places of texts of these lengths in groups of like length, each of which one forward pass holds."""
    group: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        if group and (len(group) + 1) * lengths[place] > _PASS_TOKENS:
            yield group
            group = []
        group.append(place)
    if group:
        yield group


def whole_texts(
    texts: Sequence[str],
    longest: int,
    count: Callable[[Sequence[str]], Sequence[int]],
    run: Callable[[Sequence[str]], Float32],
) -> Float32:
    """`run`'s rows (n, dim) of texts that it would cut off at `longest` tokens: such a one goes in halves of halves.

    Windows are cut where tokens end, yet a token can fall apart when its neighbours are gone. 0 tokens mean any length.
    """
    if longest <= 0:
        return run(texts)
    pieces = [_halves(text, tokens, longest, count) for text, tokens in zip(texts, count(texts), strict=True)]
    rows = run([piece for own in pieces for piece, _ in own])
    if len(rows) == len(texts):
        return rows
    owners = [owner for owner, own in enumerate(pieces) for _ in own]
    return pooled(rows, owners, [float(weight) for own in pieces for _, weight in own], len(texts))


def _halves(
    text: str, tokens: int, longest: int, count: Callable[[Sequence[str]], Sequence[int]]
) -> list[tuple[str, int]]:
    if tokens <= longest or len(text) < 2:
        return [(text, tokens)]
    halves = text[: len(text) // 2], text[len(text) // 2 :]
    found = zip(halves, count(halves), strict=True)
    return [piece for half, own in found for piece in _halves(half, own, longest, count)]


def pretrained(model_class: Any, folder: Path, *, unsafe: bool, may_miss: Sequence[str] = (), **options: Any) -> Any:
    """The model of a folder, every tensor of it read from there, but for those that `may_miss` has a part of the name
    of: random numbers that nothing reads. Raises MissingWeights where others are missing.
    """
    model, about = model_class.from_pretrained(
        folder,
        use_safetensors=None if unsafe else True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        **options,
    )
    missing = sorted(key for key in about["missing_keys"] if not any(part in key for part in may_miss))
    if missing:
        raise MissingWeights(
            f"{len(missing)} tensors of {model_class.__name__} are not in {folder}: {', '.join(missing[:3])}; "
            "they would be random numbers; take the folder of a model of this kind"
        )
    return model


def check_complete(model: Any, folder: Path, *, unsafe: bool, may_miss: Sequence[str] = ()) -> None:
    """Raise MissingWeights where tensors of a model that another library has loaded are not in its folder.

    A name that is not in the files may be that of a tied tensor, or the library may have renamed it: it is asked then.
    """
    saved = {name[place:] for name in _tensor_names(folder) for place in _suffixes(name)}
    if any(name not in saved for name in model.state_dict()):
        pretrained(type(model), folder, unsafe=unsafe, may_miss=may_miss, config=model.config)


def _suffixes(name: str) -> list[int]:
    return [0, *(found.end() for found in re.finditer(r"\.", name))]


def _tensor_names(folder: Path) -> Iterable[str]:
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="np") as opened:
            yield from opened.keys()


def read_list(folder: Path, file: str) -> list[dict[str, Any]]:
    """A JSON list of objects; raises MissingWeights where it is missing or broken."""
    try:
        found = json.loads((folder / file).read_text())
    except (OSError, ValueError) as error:
        raise MissingWeights(f"the model's {file} cannot be read: {folder / file}: {error}") from error
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise MissingWeights(f"the model's {file} is no list of objects: {folder / file}; pull the weights again")
    return found


def tensor_shape(folder: Path, tensor: str) -> tuple[int, ...]:
    """The shape of a tensor in one of the folder's safetensors files; () where none has it."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="np") as opened:
            if tensor in opened.keys():  # noqa: SIM118 - a safetensors file is no dict
                return tuple(opened.get_slice(tensor).get_shape())
    return ()
