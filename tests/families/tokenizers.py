"""Small tokenizers trained on a few sentences, saved as the real ones are."""

from pathlib import Path

_SENTENCES = (
    "a rocket on the launch pad two cats sleep on a sofa while it rains outside and nobody comes to feed them",
    "stop the lecture is about telescopes, mirrors and the light of distant stars query: passage: [Q] [D]",
    "0123456789 The quick brown fox jumps over the lazy dog. What did he ask of his countrymen?",
)


def save_bpe_tokenizer(folder: Path, *, size: int = 300) -> None:
    """A byte-level BPE tokenizer with RoBERTa's special tokens (<s> 0, <pad> 1, </s> 2, <unk> 3)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_SENTENCES, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
    ).save_pretrained(folder)


def save_wordpiece_tokenizer(folder: Path, *, size: int = 400) -> None:
    """A lower-casing WordPiece tokenizer with BERT's special tokens ([PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3)."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    tokenizer = BertWordPieceTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]"]
    tokenizer.train_from_iterator(
        _SENTENCES, vocab_size=size, min_frequency=1, special_tokens=special, show_progress=False
    )
    BertTokenizerFast(tokenizer_object=tokenizer._tokenizer).save_pretrained(folder)
