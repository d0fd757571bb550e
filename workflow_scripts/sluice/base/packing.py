"""Documents one after another in rows of one length: every row is full, nothing is padded.

A row may hold the end of one document and the beginning of others, and attention crosses the
border: the begin token tells the model of it. Which tokens row n holds follows from the seed and n
alone, so a training can go on at any step without reading what came before.
"""

from collections.abc import Iterator

import numpy as np

from sluice.base.corpus import TokenisedText
from sluice.errors import DataError
from sluice.seeds import derive_seed


class PackedRows:
    """Endless rows of packed documents; every epoch has its own order of documents and of rows.

    Of an epoch each token is a target once, but for the first one and a rest that fills no row. A
    row's last target is the first input of the row that follows it in the text.

    In memory are 16 bytes per document and 8 per row; the tokens stay in their file.

    Args:
        text: tokens and where documents end.
        row_tokens: inputs of a row; row n has one token more, the last target.
        seed: the config's seed.
    Raises:
        DataError: the text does not fill one row.
    """

    def __init__(self, text: TokenisedText, *, row_tokens: int, seed: int) -> None:
        self.row_tokens = row_tokens
        self.rows_per_epoch = (len(text.tokens) - 1) // row_tokens
        if self.rows_per_epoch < 1:
            raise DataError(
                f"the text has {len(text.tokens):,} tokens, which do not fill a row",
                where=str(text.path),
                expected=f"more than sequence_length, {row_tokens:,}",
                hint="more text, or a smaller base.sequence_length",
            )
        self._text = text
        self._seed = seed
        self._epoch = -1

    def __getitem__(self, number: int) -> np.ndarray:
        """Row ``number`` of the endless sequence: row_tokens + 1 token ids."""
        epoch, place = divmod(number, self.rows_per_epoch)
        if epoch != self._epoch:
            self._shuffle(epoch)
        start = int(self._rows[place]) * self.row_tokens
        row = np.empty(self.row_tokens + 1, dtype=self._text.tokens.dtype)
        filled = 0
        for piece in self._pieces(start, len(row)):
            row[filled : filled + len(piece)] = piece
            filled += len(piece)
        assert filled == len(row), "a row goes beyond the text"
        return row

    def _shuffle(self, epoch: int) -> None:
        rng = np.random.default_rng(derive_seed(self._seed, "pack_rows", epoch))
        self._order = rng.permutation(self._text.num_documents)
        self._rows = rng.permutation(self.rows_per_epoch)
        # Where each document of this order ends in the stream of all of them.
        self._ends = np.cumsum(self._text.lengths[self._order])
        self._epoch = epoch

    def _pieces(self, start: int, num_tokens: int) -> Iterator[np.ndarray]:
        """The stream's tokens from ``start`` on, document by document."""
        place = int(np.searchsorted(self._ends, start, side="right"))
        while num_tokens > 0 and place < len(self._order):
            end = int(self._ends[place])
            piece = self._text.document(int(self._order[place]))[-(end - start) :][:num_tokens]
            yield piece
            start += len(piece)
            num_tokens -= len(piece)
            place += 1


def rows_in_order(text: TokenisedText, *, row_tokens: int, max_tokens: int) -> list[np.ndarray]:
    """The text's first tokens as rows in the order of the file, the last one as short as it is.

    Args:
        text: held-out text.
        row_tokens: inputs of a row; rows overlap by one token, which is target, then input.
        max_tokens: most target tokens in all.
    """
    end = min(len(text.tokens), max_tokens + 1)
    starts = range(0, end - 1, row_tokens)
    return [text.tokens[start : min(start + row_tokens + 1, end)] for start in starts]
