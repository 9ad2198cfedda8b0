"""Tiny text encoders."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.families.tiny import TEXTS, Tiny
from tests.families.tokenizers import save_bpe_tokenizer, save_wordpiece_tokenizer
from transforms.encoders.network import Kind

CORPUS = (
    *TEXTS,
    "a rocket and a cat watch the stars",
    "stop the launch, nobody sleeps",
    "light on the sofa, rain outside",
)
SMALL = {
    "vocab_size": 400,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 37,
    "max_position_embeddings": 64,
}


def save_bert(folder: Path, **changed: Any) -> None:
    """A small BERT with its tokenizer."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    BertModel(BertConfig(**{**SMALL, **changed})).save_pretrained(folder)
    save_wordpiece_tokenizer(folder)


#: Models whose tokens look at each other in ways of their own, or not at all.
_OTHERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "fnet": ("FNetConfig", "FNetModel", {"tpu_short_seq_length": 64}),
    "longformer": ("LongformerConfig", "LongformerModel", {"attention_window": 8, "max_position_embeddings": 66}),
    "mamba": ("MambaConfig", "MambaModel", {"state_size": 4}),
    "rwkv": ("RwkvConfig", "RwkvModel", {"context_length": 64}),
}


def save_pooled(folder: Path, *, kind: str, pooling: str) -> str:
    """A small model of a kind with its tokenizer."""
    import transformers

    config: Any
    torch.manual_seed(0)
    if kind == "bert":
        save_bert(folder)
    elif kind == "roberta":
        config = transformers.RobertaConfig(**{**SMALL, "vocab_size": 300, "type_vocab_size": 1})
        transformers.RobertaModel(config).save_pretrained(folder)
        save_bpe_tokenizer(folder)
    elif kind == "modernbert":
        config = transformers.ModernBertConfig(
            **{**SMALL, "vocab_size": 300},
            pad_token_id=1,
            bos_token_id=0,
            eos_token_id=2,
            cls_token_id=0,
            sep_token_id=2,
        )
        transformers.ModernBertModel(config).save_pretrained(folder)
        save_bpe_tokenizer(folder)
    elif kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=300, n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=2
        )
        transformers.GPT2Model(config).save_pretrained(folder)
        save_bpe_tokenizer(folder)
    elif kind in _OTHERS:
        config_class, model_class, changed = _OTHERS[kind]
        config = getattr(transformers, config_class)(**{**SMALL, "vocab_size": 300, **changed})
        getattr(transformers, model_class)(config).save_pretrained(folder)
        save_bpe_tokenizer(folder)
    elif kind == "t5":
        config = transformers.T5Config(
            vocab_size=300, d_model=32, d_kv=16, d_ff=37, num_layers=2, num_heads=2, pad_token_id=1, eos_token_id=2
        )
        transformers.T5EncoderModel(config).save_pretrained(folder)
        save_bpe_tokenizer(folder)
    return f"transformers-text:{folder}?pooling={pooling}"


def pooled_reference(folder: Path, kind: Kind, inputs: Sequence[Any], *, model: str, pooling: str) -> Any:
    """transformers' own way, one text at a time and without padding."""
    import transformers

    model_class = transformers.T5EncoderModel if model == "t5" else transformers.AutoModel
    options = {"attn_implementation": "eager"} if pooling == "attention" else {}
    network = model_class.from_pretrained(folder, **options).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in inputs:
        with torch.inference_mode():
            given = network(
                input_ids=tokenizer(text, return_tensors="pt")["input_ids"], output_attentions=pooling == "attention"
            )
        tokens = given.last_hidden_state[0].numpy()  # (tokens, dim)
        weights = np.arange(1, len(tokens) + 1)
        if pooling == "attention":
            weights = given.attentions[-1][0].numpy().mean(0).sum(0)
        rows.append(
            {
                "mean": lambda tokens, _: tokens.mean(0),
                "max": lambda tokens, _: tokens.max(0),
                "cls": lambda tokens, _: tokens[0],
                "last": lambda tokens, _: tokens[-1],
            }.get(pooling, lambda tokens, weights: np.average(tokens, axis=0, weights=weights))(tokens, weights)
        )
    return np.stack(rows)


def save_sentence(folder: Path, *, pooling: str = "mean", prompts: bool = False) -> str:
    """A sentence-transformers model: BERT, pooling, a projection."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer

    save_bert(folder / "bert")
    bert = Transformer(str(folder / "bert"), max_seq_length=48)
    torch.manual_seed(1)
    modules = [bert, Pooling(32, pooling, include_prompt=not prompts), Dense(32, 24), Normalize()]
    said = {"query": "stop: ", "document": "the rocket: "} if prompts else None
    SentenceTransformer(modules=modules, prompts=said, device="cpu").save(str(folder / "model"))
    return f"sentence-transformers:{folder / 'model'}"


def sentence_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """The library's own way."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder / "model"), device="cpu").encode_document(list(inputs))


def save_static(folder: Path) -> str:
    """A sentence-transformers model of one table of token vectors."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    save_wordpiece_tokenizer(folder / "tokenizer")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    torch.manual_seed(0)
    module = StaticEmbedding(tokenizer, embedding_dim=32)
    SentenceTransformer(modules=[module], device="cpu").save(str(folder / "model"))
    return f"sentence-transformers:{folder / 'model'}"


def save_dpr(folder: Path) -> str:
    """Two small towers."""
    from transformers import DPRConfig, DPRContextEncoder, DPRQuestionEncoder

    torch.manual_seed(0)
    for tower, model_class in (("question", DPRQuestionEncoder), ("context", DPRContextEncoder)):
        model_class(DPRConfig(**SMALL, projection_dim=24)).save_pretrained(folder / tower)
        save_wordpiece_tokenizer(folder / tower)
    return f"dpr:{folder}"


def dpr_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """transformers' own way of a passage."""
    from transformers import BertTokenizerFast, DPRContextEncoder

    model = DPRContextEncoder.from_pretrained(folder / "context").eval()
    tokenizer = BertTokenizerFast.from_pretrained(folder / "context")
    with torch.inference_mode():
        return model(**tokenizer(list(inputs), padding=True, return_tensors="pt")).pooler_output


def save_colbert(folder: Path) -> str:
    """ColBERT's own layout: BERT and `linear.weight` in one file."""
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(**SMALL, architectures=["HF_ColBERT"])
    tensors = {f"bert.{name}": tensor for name, tensor in BertModel(config).state_dict().items()}
    folder.mkdir(exist_ok=True)
    save_file({**tensors, "linear.weight": torch.randn(16, 32)}, folder / "model.safetensors", {"format": "pt"})
    config.save_pretrained(folder)
    metadata = {
        "query_maxlen": 16,
        "doc_maxlen": 40,
        "mask_punctuation": True,
        "attend_to_mask_tokens": False,
        "dim": 16,
    }
    (folder / "artifact.metadata").write_text(json.dumps(metadata))
    save_wordpiece_tokenizer(folder)
    return f"colbert:{folder}"


def save_pylate(folder: Path) -> str:
    """PyLate's layout: a ModernBERT and a Dense module."""
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    save_pooled(folder, kind="modernbert", pooling="mean")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["[Q] ", "[D] "])
    tokenizer.save_pretrained(folder)
    save_embeddings(folder, len(tokenizer))
    (folder / "1_Dense").mkdir()
    about = {
        "in_features": 32,
        "out_features": 16,
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    (folder / "1_Dense" / "config.json").write_text(json.dumps(about))
    torch.manual_seed(1)
    save_file({"linear.weight": torch.randn(16, 32)}, folder / "1_Dense" / "model.safetensors")
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    saved = {
        "model_type": "ColBERT",
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 16,
        "document_length": 62,
        "attend_to_expansion_tokens": False,
    }
    (folder / "config_sentence_transformers.json").write_text(json.dumps(saved))
    return f"colbert:{folder}"


def save_embeddings(folder: Path, size: int) -> None:
    """Make room for tokens that were added to a model's tokenizer."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder)
    model.resize_token_embeddings(size, mean_resizing=False)
    model.save_pretrained(folder)


def colbert_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """sentence-transformers' own way of a document."""
    from sentence_transformers import MultiVectorEncoder

    return MultiVectorEncoder(str(folder), device="cpu").encode_document(list(inputs), convert_to_numpy=True)


def words() -> dict[str, Any]:
    """A vector of 12 numbers for every word of the corpus."""
    random = np.random.default_rng(0)
    found = sorted({word.strip(",.").lower() for text in CORPUS for word in text.split()})
    return {word: random.normal(size=12).astype(np.float32) for word in found}


def save_words(folder: Path, *, form: str) -> str:
    """The words as GloVe or as word2vec writes them."""
    from gensim.models import KeyedVectors

    table = words()
    if form == "glove":
        lines = [f"{word} {' '.join(map(repr, map(float, row)))}" for word, row in table.items()]
        (folder / "glove.txt").write_text("\n".join(lines) + "\n")
        return f"word-vectors:{folder}"
    vectors = KeyedVectors(12)
    vectors.add_vectors(list(table), list(table.values()))
    vectors.save_word2vec_format(str(folder / "words.bin"), binary=True)
    return f"word-vectors:{folder}"


def words_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """The mean of the words' vectors, by hand."""
    table = words()
    return np.stack([np.mean([table[word.strip(",.")] for word in text.split()], axis=0) for text in inputs])


def save_doc2vec(folder: Path) -> str:
    """A Doc2Vec trained on the corpus, as gensim saves it."""
    from gensim.models.doc2vec import Doc2Vec, TaggedDocument

    documents = [TaggedDocument(text.lower().replace(",", "").split(), [place]) for place, text in enumerate(CORPUS)]
    model = Doc2Vec(documents, vector_size=12, min_count=1, epochs=20, seed=0, workers=1)
    model.save(str(folder / "doc2vec.model"))
    return f"word-vectors:{folder}?unsafe=true"


def doc2vec_reference(folder: Path, kind: Kind, inputs: Sequence[Any]) -> Any:
    """gensim's own way, from a start that does not change with the process."""
    from unittest.mock import patch

    from gensim.models import doc2vec

    from transforms.encoders.families.word_vectors import steady_hash

    model = doc2vec.Doc2Vec.load(str(folder / "doc2vec.model"))
    steady = partial(doc2vec.pseudorandom_weak_vector, hashfxn=steady_hash)
    rows = []
    with patch.object(doc2vec, "pseudorandom_weak_vector", steady):
        for text in inputs:
            model.random.seed(0)
            rows.append(model.infer_vector(text.replace(",", "").split()))
    return np.stack(rows)


def save_tfidf(folder: Path) -> str:
    """TF-IDF of the corpus."""
    from transforms.encoders.families.fitted import fit_tfidf

    return f"tfidf:{fit_tfidf(CORPUS, folder)}"


def save_lsa(folder: Path) -> str:
    """LSA of the corpus."""
    from transforms.encoders.families.fitted import fit_lsa

    return f"lsa:{fit_lsa(CORPUS, folder, dimensions=5)}"


def fitted_reference(folder: Path, kind: Kind, inputs: Sequence[Any], *, dimensions: int = 0) -> Any:
    """scikit-learn's own way, fitted on the corpus again."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer()
    rows = vectorizer.fit_transform(CORPUS)
    if not dimensions:
        return vectorizer.transform(inputs).toarray()
    return TruncatedSVD(dimensions, random_state=0).fit(rows).transform(vectorizer.transform(inputs))


def _pooled(kind: str, pooling: str) -> Tiny:
    return Tiny(
        "transformers-text",
        partial(save_pooled, kind=kind, pooling=pooling),
        partial(pooled_reference, model=kind, pooling=pooling),
        label=f"{kind}-{pooling}",
    )


TINY = (
    Tiny("sentence-transformers", save_sentence, sentence_reference, label="mean"),
    Tiny("sentence-transformers", partial(save_sentence, prompts=True), sentence_reference, label="prompts"),
    Tiny("sentence-transformers", save_static, sentence_reference, label="static"),
    _pooled("bert", "mean"),
    _pooled("bert", "max"),
    _pooled("roberta", "cls"),
    _pooled("gpt2", "last"),
    _pooled("gpt2", "weighted"),
    _pooled("t5", "mean"),
    _pooled("fnet", "mean"),
    _pooled("modernbert", "attention"),
    Tiny("dpr", save_dpr, dpr_reference),
    Tiny("colbert", save_colbert, colbert_reference, label="bert"),
    Tiny("colbert", save_pylate, colbert_reference, label="modernbert"),
    Tiny("word-vectors", partial(save_words, form="glove"), words_reference, label="glove"),
    Tiny("word-vectors", partial(save_words, form="word2vec"), words_reference, label="word2vec"),
    Tiny("word-vectors", save_doc2vec, doc2vec_reference, label="doc2vec"),
    Tiny("tfidf", save_tfidf, fitted_reference),
    Tiny("lsa", save_lsa, partial(fitted_reference, dimensions=5)),
)
