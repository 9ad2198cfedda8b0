"""Text encoders: prompts by role, texts of any length and kind, and folders that are not what they should be."""

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.families import text as tiny
from tests.families.sound import save_clap
from tests.families.tiny import TEXTS, without
from transforms.encoders.catalog import card
from transforms.encoders.families import fitted, pooled_text, sentence
from transforms.encoders.names import Name
from transforms.encoders.reduce import fit_components, save_components
from transforms.encoders.registry import loaded
from transforms.encoders.text_models import longest_pass, passes, token_ids, token_spans, whole_texts
from transforms.encoders.windows import split_ids
from transforms.errors import MissingWeights, UsageError

ROOT = Path(__file__).parents[1]
SAVES = {
    "sentence": tiny.save_sentence,
    "prompts": lambda folder: tiny.save_sentence(folder, prompts=True),
    "static": tiny.save_static,
    "bert": lambda folder: tiny.save_pooled(folder, kind="bert", pooling="mean"),
    "roberta": lambda folder: tiny.save_pooled(folder, kind="roberta", pooling="cls"),
    "gpt2": lambda folder: tiny.save_pooled(folder, kind="gpt2", pooling="last"),
    "dpr": tiny.save_dpr,
    "colbert": tiny.save_colbert,
    "pylate": tiny.save_pylate,
    "glove": lambda folder: tiny.save_words(folder, form="glove"),
    "doc2vec": tiny.save_doc2vec,
    "tfidf": tiny.save_tfidf,
    "lsa": tiny.save_lsa,
}
CLASSICAL = ("glove", "doc2vec", "tfidf", "lsa")
EVERY = pytest.mark.parametrize("saved", SAVES, indirect=True)
WHOLE_WORDS = pytest.mark.parametrize(
    "saved", ["sentence", "static", "bert", "dpr", "colbert", *CLASSICAL], indirect=True
)
NASTY = (
    "",
    " \n\t ",
    "\U0001f680\U0001f469\u200d\U0001f680" * 50,
    "caf\udce9 \ud83d",
    "\x00\x07",
    "\u0645\u0631\u062d\u0628\u0627 \u5317\u4eac",
    "a" * 300 + ".",
    "." * 500,
)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Names of the saved models, each saved when it is first asked for."""
    found = {}

    def name(kind):
        if kind not in found:
            found[kind] = SAVES[kind](tmp_path_factory.mktemp(kind))
        return found[kind]

    return name


@pytest.fixture
def saved(request, names):
    return names(request.param)


def embed(name, *texts, role="document"):
    return loaded(name, device="cpu").model.texts(texts, role)


def folder_of(name):
    return Path(Name.parse(name).model)


# Texts of any length and kind.


@WHOLE_WORDS
def test_the_end_of_a_transcript_of_100_000_words_is_heard(saved):
    words = "a rocket on the launch pad while it rains outside " * 10_000
    one, other = words + "stars " * 400, words + "sleep " * 400
    rows = [np.sum(row, axis=0) if row.ndim == 2 else row for row in embed(saved, one, other)]
    assert np.isfinite(rows).all() and np.abs(rows[0] - rows[1]).max() > 1e-6


@EVERY
def test_no_text_breaks_an_encoder(saved):
    for row in embed(saved, *NASTY):
        lengths = np.linalg.norm(row, axis=-1)
        assert np.isfinite(row).all() and np.logical_or(np.abs(lengths - 1) < 1e-4, lengths == 0).all()


@WHOLE_WORDS
def test_a_megabyte_without_a_space_is_no_error(saved):
    (row,) = embed(saved, "launchpad" * 116_000)
    assert np.isfinite(row).all()


@pytest.mark.parametrize("saved", ["roberta", "gpt2", "pylate"], indirect=True)
def test_a_word_of_thousands_of_tokens_is_no_error(saved):
    (row,) = embed(saved, "launchpad" * 2000)
    assert np.isfinite(row).all()


@pytest.mark.parametrize("saved", ["bert", "roberta", "gpt2", "sentence"], indirect=True)
def test_windows_of_a_text_hold_all_of_it(saved):
    network = loaded(saved, device="cpu").model.network
    for text in (TEXTS[1], "two  cats,\n and \U0001f680\U0001f680 stars"):
        spans = network.token_spans(text)
        assert "".join(text[start:end] for start, end in spans) == text
        assert len(spans) <= len(text.encode())


def test_roberta_counts_its_positions_from_two(names):
    found = card(names("roberta"))
    assert found.longest_tokens == 64 - 2 - 2
    tokenizer = loaded(names("roberta"), device="cpu").model.network.tokenizer
    text = "".join(" a" for _ in range(found.longest_tokens))
    assert len(tokenizer(text)["input_ids"]) == 62
    assert np.isfinite(embed(names("roberta"), text)[0]).all()


def test_a_window_that_falls_apart_into_more_tokens_goes_in_halves():
    seen = []

    def run(texts):
        seen.extend(texts)
        return np.eye(2, dtype=np.float32)[[int("b" in text) for text in texts]]

    rows = whole_texts(["aaaabbbb", "a"], 4, lambda texts: [len(text) for text in texts], run)
    assert seen == ["aaaa", "bbbb", "a"]
    np.testing.assert_allclose(rows, [[0.5**0.5, 0.5**0.5], [1, 0]], atol=1e-6)


def test_tokens_are_cut_into_windows_of_nearly_equal_length():
    assert split_ids(range(10), 4) == [[0, 1, 2], [3, 4, 5, 6], [7, 8, 9]]
    assert split_ids([], 4) == [[]]
    assert max(map(len, split_ids(range(1001), 10))) <= 10


def test_one_pass_holds_texts_of_like_length():
    groups = list(passes([10_000, 3, 10_000, 5]))
    assert [sorted(group) for group in groups] == [[1, 3], [0], [2]]


def test_the_window_is_the_models_own_unless_asked(names):
    name = names("bert").partition("?")[0]
    assert card(name).longest_tokens == 62
    assert card(f"{name}?max_tokens=20").longest_tokens == 18
    assert card(f"{name}?max_tokens=20").fingerprint != card(name).fingerprint
    with pytest.raises(UsageError, match="64 positions"):
        card(f"{name}?max_tokens=65")


def test_relative_positions_and_long_contexts_have_a_window_too(tmp_path):
    assert longest_pass(tmp_path, {"model_type": "t5"})[0] == 512
    assert longest_pass(tmp_path, {"max_position_embeddings": 131_072})[0] == 8192
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": int(1e30)}))
    assert longest_pass(tmp_path, {"max_position_embeddings": 512})[0] == 512


# Prompts and roles.


def test_a_models_own_prompts_are_put_before_queries_and_documents_once(names):
    from sentence_transformers import SentenceTransformer

    name = names("prompts")
    assert dict(card(name).settings)["query_prompt"] == "stop: "
    assert dict(card(name).settings)["document_prompt"] == "the rocket: "
    model = SentenceTransformer(str(folder_of(name)), device="cpu")
    np.testing.assert_allclose(embed(name, *TEXTS, role="query"), model.encode_query(list(TEXTS)), atol=1e-5)
    np.testing.assert_allclose(embed(name, *TEXTS), model.encode_document(list(TEXTS)), atol=1e-5)


def test_a_prompt_of_the_name_wins(names):
    plain, asked = names("prompts"), f"{names('prompts')}?query_prompt=launch: "
    assert dict(card(asked).settings)["query_prompt"] == "launch: "
    assert card(asked).fingerprint != card(plain).fingerprint
    assert np.abs(embed(asked, "cats", role="query")[0] - embed(plain, "cats", role="query")[0]).max() > 1e-4
    np.testing.assert_array_equal(embed(asked, "cats"), embed(plain, "cats"))
    assert dict(card(f"{plain}?query_prompt=").settings)["query_prompt"] == ""


def test_prompts_of_a_pooled_model_are_part_of_its_text(names):
    name = names("bert")
    asked = f"{name}&query_prompt=query: &document_prompt=passage: "
    np.testing.assert_allclose(embed(asked, "cats", role="query"), embed(name, "query: cats"), atol=1e-6)
    np.testing.assert_allclose(embed(asked, "cats"), embed(name, "passage: cats"), atol=1e-6)


def test_a_long_document_has_its_prompt_in_every_window(names):
    asked = f"{names('bert')}&document_prompt=passage: "
    encoder = loaded(asked, device="cpu").model
    pieces = encoder._pieces("passage: " + "two cats " * 100, "passage: ")
    assert len(pieces) > 2 and all(piece.startswith("passage: ") for piece, _ in pieces)


def test_a_long_late_interaction_document_has_its_prompt_in_every_window(names):
    network = loaded(f"{names('colbert')}?document_prompt=query: ", device="cpu").model.network
    prompt, *_ = token_ids(network.tokenizer, ["query: "], special=False)
    pieces = network._pieces("query: " + "two cats " * 100, "query: ", 37)
    assert len(pieces) > 2 and all(piece[: len(prompt)] == prompt and len(piece) <= 37 for piece in pieces)
    (content,) = token_ids(network.tokenizer, ["two cats " * 100], special=False)
    assert [token for piece in pieces for token in piece[len(prompt) :]] == content


@pytest.mark.parametrize("model", ["bert", "sentence", "colbert"])
def test_a_prompt_that_would_drown_its_text_is_refused(names, model):
    plus = "&" if "?" in names(model) else "?"
    with pytest.raises(UsageError, match=r"document_prompt takes at most half of the .* this one has"):
        loaded(f"{names(model)}{plus}document_prompt={'two cats ' * 100}", device="cpu")


@pytest.mark.parametrize("model", ["intfloat/e5-small-v2", "intfloat/multilingual-e5-base"])
def test_e5_has_its_prompts_though_its_files_do_not_say_so(names, model):
    folder = folder_of(names("bert"))
    settings = dict(pooled_text.describe(Name.parse(f"transformers-text:{model}"), folder).settings)
    assert (settings["query_prompt"], settings["document_prompt"]) == ("query: ", "passage: ")
    settings = dict(
        sentence.describe(Name.parse(f"sentence-transformers:{model}"), folder_of(names("sentence"))).settings
    )
    assert (settings["query_prompt"], settings["document_prompt"]) == ("query: ", "passage: ")


def test_the_default_prompt_serves_roles_without_their_own():
    saved = {"prompts": {"s2s": "same: "}, "default_prompt_name": "s2s"}
    assert sentence._own_prompts(saved) == ("same: ", "same: ")
    assert sentence._own_prompts(saved | {"prompts": {"s2s": "same: ", "query": ""}}) == ("", "same: ")


# Pooling.


def test_the_last_token_is_the_texts_own_whatever_side_the_tokenizer_pads(names, tmp_path):
    plain = names("gpt2")
    folder = shutil.copytree(folder_of(plain), tmp_path / "left")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"padding_side": "left"}))
    np.testing.assert_allclose(
        embed(f"transformers-text:{folder}?pooling=last", *TEXTS), embed(plain, *TEXTS), atol=1e-6
    )


def test_a_model_of_an_encoder_and_a_decoder_gives_its_encoder(tmp_path):
    import torch
    from transformers import AutoTokenizer, BartConfig, BartModel

    torch.manual_seed(0)
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 37, "decoder_ffn_dim": 37}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    BartModel(BartConfig(vocab_size=300, d_model=32, max_position_embeddings=64, **sizes, **heads)).save_pretrained(
        tmp_path
    )
    tiny.save_bpe_tokenizer(tmp_path)
    encoder = BartModel.from_pretrained(tmp_path).eval().get_encoder()
    ids = AutoTokenizer.from_pretrained(tmp_path)(TEXTS[0], return_tensors="pt")["input_ids"]
    wanted = encoder(input_ids=ids).last_hidden_state[0].mean(0).detach().numpy()
    found = embed(f"transformers-text:{tmp_path}", TEXTS[0])[0]
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted), atol=1e-5)


def test_an_unknown_pooling_names_those_that_are(names):
    with pytest.raises(UsageError, match="mean, weighted, max, cls, last, attention"):
        card(f"{names('bert').partition('?')[0]}?pooling=median")


def test_only_models_that_honour_masks_get_texts_of_several_lengths_at_once(names, tmp_path):
    assert loaded(names("bert"), device="cpu").model.network.honours_masks
    fnet = loaded(tiny.save_pooled(tmp_path, kind="fnet", pooling="mean"), device="cpu").model
    assert not fnet.network.honours_masks
    texts = ["stop", "two cats sleep on a sofa", "stop", "rain"]
    for text, row in zip(texts, fnet.texts(texts), strict=True):
        np.testing.assert_allclose(row, fnet.texts([text])[0], atol=1e-6)


@pytest.mark.parametrize("kind", ["fnet", "longformer", "mamba", "rwkv"])
def test_a_model_without_attention_of_every_token_is_not_pooled_by_it(tmp_path, kind):
    name = tiny.save_pooled(tmp_path, kind=kind, pooling="attention")
    with pytest.raises(UsageError, match="does not tell how its tokens look at each other; take pooling=mean"):
        loaded(name, device="cpu")
    assert len(embed(name.replace("pooling=attention", "pooling=mean"), "two cats", "a rocket on the launch pad")) == 2


def test_a_model_that_is_more_than_text_is_not_pooled(tmp_path):
    save_clap(tmp_path)
    with pytest.raises(UsageError, match="the tokens of ClapModel cannot be pooled"):
        loaded(f"transformers-text:{tmp_path}", device="cpu")


def test_sizes_that_a_model_says_it_may_be_cut_to_are_on_its_card(tmp_path):
    name = tiny.save_sentence(tmp_path)
    config = folder_of(name) / "config_sentence_transformers.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"matryoshka_dimensions": [16, 8]}))
    assert card(name).matryoshka_dimensions == (8, 16)
    whole, cut = embed(name, "cats")[0], embed(f"{name}?dimensions=8", "cats")[0]
    np.testing.assert_allclose(cut, whole[:8] / np.linalg.norm(whole[:8]), atol=1e-6)
    with pytest.raises(UsageError, match=r"cut to 7 of 24 dimensions \(Matryoshka\), only to 8, 16; fit components"):
        card(f"{name}?dimensions=7")
    assert card(f"{name}?dimensions=7&matryoshka=true").dimensions == 7


# Two towers.


def test_each_role_has_its_tower(names):
    from transformers import BertTokenizerFast, DPRQuestionEncoder

    folder = folder_of(names("dpr"))
    tokens = BertTokenizerFast.from_pretrained(folder / "question")("cats", return_tensors="pt")
    wanted = DPRQuestionEncoder.from_pretrained(folder / "question").eval()(**tokens).pooler_output[0].detach().numpy()
    (asked,), (found,) = embed(names("dpr"), "cats", role="query"), embed(names("dpr"), "cats")
    np.testing.assert_allclose(asked, wanted / np.linalg.norm(wanted), atol=1e-5)
    assert np.abs(asked - found).max() > 1e-3


def test_the_towers_may_lie_in_two_places(names):
    folder = folder_of(names("dpr"))
    apart = f"dpr:{folder / 'question'}?context={folder / 'context'}"
    for role in ("query", "document"):
        np.testing.assert_array_equal(embed(apart, "cats", role=role), embed(names("dpr"), "cats", role=role))
    with pytest.raises(UsageError, match="say where the other tower is"):
        card(f"dpr:{folder / 'question'}")
    with pytest.raises(MissingWeights, match="the question tower is a DPRQuestionEncoder, not"):
        embed(f"dpr:{folder / 'context'}?context={folder / 'question'}", "cats")


# A vector a token.


@pytest.mark.parametrize("saved", ["colbert", "pylate"], indirect=True)
def test_a_short_query_is_filled_up_as_the_library_does_it(saved):
    from sentence_transformers import MultiVectorEncoder

    queries = ["stop", "a cat, a sofa"]
    wanted = MultiVectorEncoder(str(folder_of(saved)), device="cpu").encode_query(queries, convert_to_numpy=True)
    for one, other in zip(embed(saved, *queries, role="query"), wanted, strict=True):
        assert one.shape == (16, 16)
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("saved", ["colbert", "pylate"], indirect=True)
def test_a_query_does_not_depend_on_a_longer_neighbour(saved):
    long = "two cats sleep on a sofa while it rains outside and nobody comes to feed them"
    alone, together = embed(saved, "stop", role="query")[0], embed(saved, "stop", long, role="query")
    np.testing.assert_allclose(alone, together[0], atol=1e-5)
    assert len(together[1]) > 16


def test_every_token_of_a_long_document_has_its_vector(names):
    network = loaded(names("colbert"), device="cpu").model.network
    text = "two cats sleep on a sofa " * 40
    tokens = len(network.tokenizer(text, add_special_tokens=False)["input_ids"])
    windows = -(-tokens // 37)  # 40 without [CLS], [D] and [SEP]
    assert card(names("colbert")).longest_tokens == 37
    assert len(embed(names("colbert"), text)[0]) == tokens + 3 * windows


def test_punctuation_of_documents_has_no_vectors(names):
    plain, dotted = embed(names("colbert"), "two cats", "two cats ., ,")
    assert plain.shape == dotted.shape


def test_a_folder_of_the_other_kind_names_its_family(names):
    with pytest.raises(UsageError, match="its family is colbert"):
        card(f"sentence-transformers:{folder_of(names('pylate'))}")
    with pytest.raises(UsageError, match="its family is sentence-transformers"):
        card(f"colbert:{folder_of(names('sentence'))}")
    with pytest.raises(UsageError, match="no late-interaction model"):
        card(f"colbert:{folder_of(names('bert'))}")
    with pytest.raises(UsageError, match="transformers-text:"):
        card(f"sentence-transformers:{folder_of(names('bert'))}")


# Classical ones.


@pytest.mark.parametrize("saved", CLASSICAL, indirect=True)
def test_a_text_without_a_known_word_has_no_vector(saved):
    unknown, known = embed(saved, "xyzzy \U0001f680", "a rocket")
    assert not unknown.any() and np.linalg.norm(known) == pytest.approx(1)


def test_a_word_is_looked_up_as_written_and_then_in_small_letters(names):
    one, other = embed(names("glove"), "Rocket LAUNCH", "rocket, launch!")
    np.testing.assert_array_equal(one, other)


def test_doc2vec_infers_the_same_in_every_process(names, tmp_path):
    code = (
        "import numpy as np\nfrom transforms.encoders.registry import loaded\n"
        f"(row,) = loaded({names('doc2vec')!r}, device='cpu').model.texts(['a rocket'])\n"
        f"np.save({str(tmp_path / 'row.npy')!r}, row)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "7"})
    np.testing.assert_array_equal(np.load(tmp_path / "row.npy"), embed(names("doc2vec"), "a rocket")[0])


def test_gensims_own_format_is_opened_only_when_it_is_trusted(names, tmp_path):
    from gensim.models import KeyedVectors

    with pytest.raises(MissingWeights, match=r"pickle.*unsafe=true"):
        card(names("doc2vec").partition("?")[0])
    vectors = KeyedVectors(12)
    vectors.add_vectors(list(tiny.words()), list(tiny.words().values()))
    vectors.save(str(tmp_path / "words.kv"))
    np.testing.assert_allclose(
        embed(f"word-vectors:{tmp_path}?unsafe=true", "a rocket"), embed(names("glove"), "a rocket"), atol=1e-6
    )


def test_a_folder_of_several_files_needs_to_be_told_which(tmp_path):
    name = tiny.save_words(tmp_path, form="glove")
    tiny.save_words(tmp_path, form="word2vec")
    with pytest.raises(MissingWeights, match=r"glove\.txt, words\.bin"):
        card(name)
    one, other = embed(f"{name}?file=words.bin", "a cat"), embed(f"word-vectors:{tmp_path / 'glove.txt'}", "a cat")
    np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_array_equal(embed(f"{name}?file=glove.txt", "a cat"), other)


def test_damaged_word_vectors_are_a_clear_error(tmp_path):
    name = tiny.save_words(tmp_path, form="word2vec")
    path = tmp_path / "words.bin"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(MissingWeights, match="damaged"):
        embed(name, "a cat")
    path.write_bytes(b"\x00\x01\x02")
    with pytest.raises(MissingWeights, match="no word vectors"):
        card(f"{name}?file=words.bin")


def test_what_is_fitted_is_loaded_without_a_pickle(names):
    for kind in ("tfidf", "lsa"):
        assert sorted(path.name for path in folder_of(names(kind)).iterdir()) == ["config.json", "model.safetensors"]
    with pytest.raises(UsageError, match="fitted for lsa, not for tfidf"):
        card(f"tfidf:{folder_of(names('lsa'))}")


def test_a_small_corpus_is_fitted_as_far_as_it_goes(tmp_path):
    texts = ["two cats", "a rocket \udce9", "stars and cats"]
    assert card(f"lsa:{fitted.fit_lsa(texts, tmp_path / 'lsa')}").dimensions == 3
    assert card(f"tfidf:{fitted.fit_tfidf(texts, tmp_path / 'tfidf', max_features=2)}").dimensions == 2
    for nothing in ([], ["", "..."]):
        with pytest.raises(UsageError, match="no words to fit on"):
            fitted.fit_tfidf(nothing, tmp_path / "none")
    with pytest.raises(UsageError, match="one dimension at least"):
        fitted.fit_lsa(texts, tmp_path / "none", dimensions=0)


def test_what_is_fitted_again_is_loaded_again(tmp_path):
    name = f"tfidf:{fitted.fit_tfidf(['two cats', 'a rocket'], tmp_path)}"
    before, row = card(name), embed(name, "cats")[0]
    assert card(name) is before  # as long as nothing has changed
    fitted.fit_tfidf(["stars and light", "the cats of all the stars"], tmp_path)
    assert card(name).fingerprint != before.fingerprint
    assert card(name).dimensions == len(embed(name, "stars and cats")[0]) != len(row)


def test_new_components_in_the_same_file_are_read_again(tmp_path):
    texts, path = ["two cats", "a rocket", "stars and light"], tmp_path / "components"
    name = f"tfidf:{fitted.fit_tfidf(texts, tmp_path / 'fitted')}?pca={path}"
    rows = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    sizes = []
    for size in (4, 2):
        save_components(fit_components(rows, size), path)
        sizes.append(len(embed(name, "cats")[0]))
    assert sizes == [4, 2]


def test_words_of_glove_may_have_spaces_in_them(tmp_path):
    path = tmp_path / "glove.840B.3d.txt"
    path.write_text(". . . 0.4 0.5 0.6\nstar 0 1 0\nat name@domain.com 1 1 1\n\u5317\u4eac 0.5 0.25 0\nstar 9 9 9\n")
    name = f"word-vectors:{path}"
    network = loaded(name, device="cpu").model.network
    assert list(network.vectors.key_to_index) == [". . .", "star", "at name@domain.com", "\u5317\u4eac"]
    np.testing.assert_allclose(network.vectors[". . ."], [0.4, 0.5, 0.6], atol=1e-6)
    np.testing.assert_allclose(embed(name, "Star")[0], [0, 1, 0])
    assert list(loaded(f"{name}?most_words=2", device="cpu").model.network.vectors.key_to_index) == [". . .", "star"]
    path.write_text("star 0 1 0\nmoon 0 1 zero\n")
    with pytest.raises(MissingWeights, match="the word vectors are damaged"):
        loaded(name, device="cpu")


# Folders that are not what they should be.


def test_a_projection_that_is_pickled_is_refused_unless_trusted(tmp_path):
    import torch
    from safetensors.torch import load_file

    name = tiny.save_sentence(tmp_path)
    wanted = embed(name, "cats")
    path = folder_of(name) / "2_Dense" / "model.safetensors"
    torch.save(load_file(path), path.with_name("pytorch_model.bin"))
    path.unlink()
    with pytest.raises(MissingWeights, match=r"pytorch_model\.bin only"):
        card(f"{name}?query_prompt=")
    np.testing.assert_allclose(embed(f"{name}?unsafe=true", "cats"), wanted, atol=1e-6)


def test_tensors_that_are_missing_are_never_random(tmp_path):
    pooled, whole = tmp_path / "pooled", tmp_path / "whole"
    for folder, name in (
        (pooled, tiny.save_pooled(pooled, kind="bert", pooling="mean")),
        (whole / "model", tiny.save_sentence(whole)),
    ):
        without(folder, "layer.1.")
        with pytest.raises(MissingWeights, match="would be random numbers"):
            embed(name, "cats")


def test_tensors_that_no_vector_needs_may_be_missing(tmp_path):
    for save in (tiny.save_sentence, partial(tiny.save_pooled, kind="bert", pooling="mean")):
        folder = tmp_path / str(save)[:20]
        wanted = embed(save(folder), "cats")[0]
        copy = shutil.copytree(folder, tmp_path / "copy")
        without(copy, "pooler.")
        name = f"sentence-transformers:{copy / 'model'}" if (copy / "model").is_dir() else f"transformers-text:{copy}"
        np.testing.assert_allclose(embed(name, "cats")[0], wanted, atol=1e-6)
        shutil.rmtree(copy)


def test_a_damaged_model_is_a_clear_error(tmp_path):
    name = tiny.save_pooled(tmp_path, kind="bert", pooling="mean")
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MissingWeights, match="damaged"):
        card(name)


def test_a_module_that_would_need_code_of_its_own_is_refused(tmp_path):
    name = tiny.save_sentence(tmp_path)
    path = folder_of(name) / "modules.json"
    path.write_text(path.read_text().replace("sentence_transformers.", "custom_code."))
    with pytest.raises(UsageError, match="module that is not run here: custom_code"):
        card(name)


def test_a_card_is_made_without_libraries_of_models(names):
    kinds = [kind for kind in SAVES if kind != "doc2vec"]
    code = (
        "import sys\nfrom transforms.encoders.catalog import card\n"
        f"for name in {[names(kind) for kind in kinds]!r}: card(name)\n"
        "heavy = ('torch', 'transformers', 'sentence_transformers', 'gensim', 'sklearn')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_words_stand_in_for_tokens_where_a_tokenizer_tells_no_places():
    assert token_spans(object(), "two  cats") == [(0, 3), (3, 9)]
