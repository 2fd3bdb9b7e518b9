"""The reader: a denoiser of fields. It scores, for every field of a schema, the spans of a text and "absent".

The sequence is [queries ; options ; words]: a position for each field, for each value of an enumeration or
boolean, and for each word of the text. All attend to all. The noise is over fields: a known field marks its
words as taken, an open one marks nothing. So all fields are drafted at once, and each forward sees both sides
of the fields that it has accepted. The score of a span is the sum of that of its first word, its last word,
the words inside it, and its length; a field's classes are its spans or options, and "absent".

    >>> from solver.models.reader_inputs import FieldQuery, ReaderItem, reader_inputs
    >>> item = ReaderItem.of("Ann, 34", [FieldQuery.of({"type": "integer"}, "")])
    >>> network = ReaderNetwork(ReaderConfig(width=16, hidden=16, layers=1, heads=2))
    >>> logits = field_logits(network(reader_inputs([item])))  # absent, no options, 3 words x 24 lengths
    >>> logits.shape
    torch.Size([1, 1, 73])

Words carry fixed pretrained vectors (word_table.py) and learned ones of spellings. Where a field's name or
description shares a stem with a word, a learned bias raises their attention.

Shapes: B rows, F fields, O options, N words, Q = F + O, S positions, E width of a word vector, D width,
R relations, W lengths.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from solver.models.blocks import Block, check_sizes
from solver.models.context import HIDDEN, Context, rotation
from solver.models.reader_fields import KINDS, MAX_ITEMS
from solver.models.reader_text import BUCKETS, CODES

MAX_WORDS = 24  # W, words of a span that is scored in training
RELATIONS = ("name", "context", "taken")
QUERY_CODES = (len(KINDS), MAX_ITEMS + 1, 2, 4)  # kind, item, nullable, depth
STATES = 8  # of a query: its status, and whether it is known to be absent
BIAS_SCALE = 8.0  # so that a learned bias moves as fast as attention needs it


@dataclass(frozen=True)
class ReaderConfig:
    """Sizes. Raises ValueError naming the field where a value is impossible.

    vectors: E, width of the pretrained word vectors.
    spelling: width of the learned vectors of spellings.
    width, hidden, layers, heads: of the transformer.
    causal: whether it is trained to fill the fields in the schema's order.
    """

    vectors: int = 128
    spelling: int = 48
    width: int = 256
    hidden: int = 640
    layers: int = 5
    heads: int = 4
    causal: bool = False

    def __post_init__(self) -> None:
        check_sizes(self, "vectors", "spelling", "width", "hidden", "layers", "heads")
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is not a multiple of twice the heads {self.heads}")


class ReaderInputs(NamedTuple):
    """Texts and queries of some rows, padded.

    query_vectors: (B, F, 3, E), means over the words of name, path and context.
    query_codes: (B, F, 4), see QUERY_CODES.
    query_states: (B, F); 2 * status + whether it is known to be absent.
    query_present: (B, F).
    option_vectors: (B, O, E).
    option_owners: (B, O), index of the field, -1 for padding.
    option_chosen: (B, O), whether it is the known value of its field.
    word_vectors, word_codes, word_hashes, word_present: (B, N, ...).
    relations: (B, Q, N, R), which relations hold between a query or option and a word.
    """

    query_vectors: Tensor
    query_codes: Tensor
    query_states: Tensor
    query_present: Tensor
    option_vectors: Tensor
    option_owners: Tensor
    option_chosen: Tensor
    word_vectors: Tensor
    word_codes: Tensor
    word_hashes: Tensor
    word_present: Tensor
    relations: Tensor


class ReaderScores(NamedTuple):
    """fp32 scores of the parts of spans, of "absent" and of options.

    start, end: (B, F, N).
    inside: (B, F, N + 1), sums of the scores of words before each position.
    length: (B, F, W).
    absent: (B, F).
    option: (B, O).
    has_options: (B, F), whether a field's classes are options.
    owners: (B, O), as in the inputs.
    word_present: (B, N), as in the inputs.
    """

    start: Tensor
    end: Tensor
    inside: Tensor
    length: Tensor
    absent: Tensor
    option: Tensor
    has_options: Tensor
    owners: Tensor
    word_present: Tensor


class RelationContext(Context):
    """Whole sequences with a bias for related positions; words have positions, queries and options none.

    present: (B, S).
    words: index of the first word.
    relations: (B, Q, N, R), as numbers.
    bias: (layers, 2, R, H), from queries to words and from words to queries.
    """

    def __init__(self, present: Tensor, words: int, relations: Tensor, bias: Tensor) -> None:
        super().__init__(present=present)
        self.words, self.relations, self.bias = words, relations, bias
        self.layer = 0
        self.hidden = torch.where(present, 0.0, HIDDEN)[:, None, None]

    def windows(self, layer: int, x: Tensor, radius: int) -> Tensor:
        assert self.present is not None
        self.layer = layer
        return super().windows(layer, x * self.present[..., None].to(x.dtype), radius)

    def rotation(self, x: Tensor) -> tuple[Tensor, Tensor]:
        size = x.shape[2]
        cos, sin = rotation(size - self.words + 1, x.shape[-1] // 2, x.dtype, x.device)
        positions = (torch.arange(size, device=x.device) - self.words + 1).clamp_min(0)
        return cos[positions], sin[positions]

    def mask(self, like: Tensor) -> Tensor:
        queries, first = self.relations.shape[1], self.words
        to_words, to_queries = (BIAS_SCALE * self.bias[self.layer]).to(like.dtype)
        bias = like.new_zeros(like.shape)
        bias[:, :, :queries, first:] = (self.relations.to(like.dtype) @ to_words).permute(0, 3, 1, 2)
        bias[:, :, first:, :queries] = (self.relations.to(like.dtype) @ to_queries).permute(0, 3, 2, 1)
        return bias + self.hidden.to(like.dtype)


class CodeEmbedding(nn.Module):
    """Sum of learned vectors, one for each code."""

    def __init__(self, sizes: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(sum(sizes), width)
        nn.init.normal_(self.table.weight, std=0.02)
        self.offsets = [sum(sizes[:index]) for index in range(len(sizes))]

    def forward(self, codes: Tensor) -> Tensor:
        """(..., C) to (..., D)."""
        result: Tensor = self.table(codes + codes.new_tensor(self.offsets)).sum(-2)
        return result


class ReaderNetwork(nn.Module):
    """The network; see the module."""

    def __init__(self, config: ReaderConfig) -> None:
        super().__init__()
        self.config = config
        width, size = config.width, config.width // 4
        self.word_vector = nn.Linear(config.vectors, width)
        self.spelling = nn.Embedding(BUCKETS, config.spelling)
        self.word_spelling = nn.Linear(config.spelling, width, bias=False)
        self.word_codes = CodeEmbedding(CODES, width)
        self.query_vector = nn.Linear(3 * config.vectors, width)
        self.query_codes = CodeEmbedding((*QUERY_CODES, STATES), width)
        self.option_vector = nn.Linear(config.vectors, width)
        self.option_chosen = nn.Embedding(2, width)
        self.bias = nn.Parameter(torch.zeros(config.layers, 2, len(RELATIONS), config.heads))
        self.layers = nn.ModuleList(
            Block(width, config.hidden, config.heads, radius=1) for _ in range(config.layers)
        )
        self.norm = nn.RMSNorm(width)
        self.span_query = nn.Linear(width, 3 * size)
        self.span_key = nn.Linear(width, 3 * size, bias=False)
        self.length = nn.Linear(width, MAX_WORDS)
        self.absent = nn.Linear(width, 1)
        self.option = nn.Linear(width, 1)
        self.option_query = nn.Linear(width, size, bias=False)
        self.option_key = nn.Linear(width, size, bias=False)
        for table in (self.spelling, self.option_chosen):
            nn.init.normal_(table.weight, std=0.02)
        with torch.no_grad():
            self.bias[:, :, 0] = 2 / BIAS_SCALE  # a word of the name is looked at from the start
            self.bias[:, :, 2] = 1 / BIAS_SCALE

    def forward(self, inputs: ReaderInputs) -> ReaderScores:
        """Scores of all fields."""
        queries, options = inputs.query_codes.shape[1], inputs.option_owners.shape[1]
        x, present = self.embed(inputs)
        words = queries + options + 2
        relations = F.pad(inputs.relations[:, :queries], (0, 0, 0, 0, 0, 1))
        relations = torch.cat([relations, inputs.relations[:, queries:]], 1)
        context = RelationContext(present, words, relations, self.bias)
        for number, layer in enumerate(self.layers):
            x = layer(x, context, number)
        x = self.norm(x)
        return self.scores(inputs, x[:, :queries], x[:, queries + 1 : words - 1], x[:, words:])

    def embed(self, inputs: ReaderInputs) -> tuple[Tensor, Tensor]:
        """The sequence (B, S, D), with an empty position between its parts, and which are present (B, S)."""
        codes = torch.cat([inputs.query_codes, inputs.query_states[..., None]], -1)
        query = self.query_vector(inputs.query_vectors.flatten(2)) + self.query_codes(codes)
        owners = inputs.option_owners.clamp_min(0)[..., None].expand(-1, -1, query.shape[-1])
        option = self.option_vector(inputs.option_vectors) + query.gather(1, owners)
        option = option + self.option_chosen(inputs.option_chosen.long())
        spelling = self.word_spelling(self.spelling(inputs.word_hashes).sum(-2))
        word = self.word_vector(inputs.word_vectors) + spelling + self.word_codes(inputs.word_codes)
        empty = torch.zeros_like(query[:, :1])
        is_empty = torch.zeros_like(inputs.query_present[:, :1])
        present = [inputs.query_present, is_empty, inputs.option_owners >= 0, is_empty, inputs.word_present]
        return torch.cat([query, empty, option, empty, word], 1), torch.cat(present, 1)

    def scores(self, inputs: ReaderInputs, query: Tensor, option: Tensor, word: Tensor) -> ReaderScores:
        """Scores of the final states of queries, options and words."""
        rows, fields, _ = query.shape
        size = self.option_query.out_features
        wanted = self.span_query(query).view(rows, fields, 3, size).transpose(1, 2) * size**-0.5
        keys = self.span_key(word).view(rows, -1, 3, size).permute(0, 2, 3, 1)
        start, end, inside = (wanted @ keys).float().unbind(1)
        inside = torch.where(inputs.word_present[:, None], inside, 0.0)
        owners = inputs.option_owners.clamp_min(0)[..., None].expand(-1, -1, size)
        match = (self.option_query(query).gather(1, owners) * self.option_key(option)).sum(-1) * size**-0.5
        is_owner = inputs.option_owners[:, None] == torch.arange(fields, device=query.device)[:, None]
        return ReaderScores(
            start,
            end,
            F.pad(inside.cumsum(-1), (1, 0)),
            self.length(query).float(),
            self.absent(query).float()[..., 0],
            (self.option(option)[..., 0] + match).float(),
            is_owner.any(-1),
            inputs.option_owners,
            inputs.word_present,
        )

    def flops(self, words: int, queries: int) -> int:
        """FLOPs of the matrix products of a forward of one row; ``queries`` counts options as well."""
        size, block = words + queries, self.layers[0]
        assert isinstance(block, Block)
        embedding = 2 * size * self.config.width * (self.config.vectors + self.config.spelling)
        return self.config.layers * block.flops(size, size * size) + embedding


def span_scores(scores: ReaderScores) -> Tensor:
    """Scores (B, F, N, W) of spans, by first word and length - 1; HIDDEN where a text has no such span."""
    size = scores.start.shape[-1]
    end = F.pad(scores.end, (0, MAX_WORDS - 1)).unfold(-1, size, 1)  # (B, F, W, N)
    after = F.pad(scores.inside[..., 1:], (0, MAX_WORDS - 1)).unfold(-1, size, 1)
    total = end + after + (scores.start - scores.inside[..., :-1])[:, :, None] + scores.length[..., None]
    present = F.pad(scores.word_present, (0, MAX_WORDS - 1)).unfold(-1, size, 1)[:, None]
    possible = present & ~scores.has_options[..., None, None]
    return torch.where(possible, total, HIDDEN).transpose(2, 3)


def field_logits(scores: ReaderScores) -> Tensor:
    """Logits (B, F, 1 + O + N * W) of each field's classes: absent, options, spans."""
    fields = torch.arange(scores.absent.shape[1], device=scores.absent.device)
    is_owner = scores.owners[:, None] == fields[:, None]
    option = torch.where(is_owner, scores.option[:, None], HIDDEN)
    return torch.cat([scores.absent[..., None], option, span_scores(scores).flatten(2)], -1)


def class_of_span(first: int, length: int, options: int) -> int:
    """The class of a span of ``length`` words, among :func:`field_logits` of a batch with ``options``."""
    return 1 + options + first * MAX_WORDS + length - 1


def field_losses(logits: Tensor, truth: Tensor) -> Tensor:
    """Minus the log-probabilities (B, F) that the class is among ``truth`` (B, F, K), padded with -1."""
    log_p = logits.log_softmax(-1).gather(-1, truth.clamp_min(0))
    return -torch.where(truth >= 0, log_p, HIDDEN).logsumexp(-1)
