"""The packaged sentence encoder, all-MiniLM-L6-v2, in plain torch: it loads in a third of its library's time."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from transforms.encoders.bert import load_bert
from transforms.encoders.cards import MINILM_CONFIG, MINILM_TOKENIZER, MINILM_WEIGHTS, Card
from transforms.encoders.network import Network, Role, Where
from transforms.encoders.precision import placed
from transforms.encoders.weights import verify
from transforms.encoders.windows import Int64
from transforms.encoders.wordpieces import embed, load_tokenizer
from transforms.records import Float32


@dataclass(eq=False)
class MiniLM(Network):
    """The tokenizer and the network on its device."""

    tokenizer: Tokenizer
    network: torch.nn.Module
    window_tokens: int
    where: Where = Where()

    def texts(self, texts: Sequence[str], role: Role = "document") -> Float32:
        """Unit vectors (n, dim) of the texts, in order."""
        return embed(texts, self.tokenizer, self.forward, window_tokens=self.window_tokens)

    @torch.inference_mode()
    def forward(self, ids: Int64, mask: Int64) -> Float32:
        """Mean-pooled vectors (n, dim) of a padded batch, not normalised."""
        on_device = (torch.from_numpy(array).to(self.where.device) for array in (ids, mask))
        pooled: Float32 = self.network(*on_device).float().cpu().numpy()
        return pooled


def load_minilm(card: Card, where: Where) -> MiniLM:
    """Load what the card pins; raises MissingWeights."""
    config, tokenizer, weights = (
        verify(card.weights_of(file)) for file in (MINILM_CONFIG, MINILM_TOKENIZER, MINILM_WEIGHTS)
    )
    return MiniLM(
        tokenizer=load_tokenizer(tokenizer),
        network=placed(load_bert(config, weights), where),
        window_tokens=int(card.setting("window_tokens")),
        where=where,
    )
