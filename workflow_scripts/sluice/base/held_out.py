"""How well a model foresees text that training never sees: nats per token, bits per byte."""

# Shape letters: B rows, T tokens, N target tokens, V vocabulary.

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import Qwen3ForCausalLM

from sluice.base.modeling import target_nats
from sluice.base.steps import as_pass


class HeldOut:
    """Rows of held-out text. Tokens that stand for no bytes count neither nats nor bytes.

    Args:
        rows: T + 1 token ids each; those that are shorter go through the model one by one.
        token_bytes_V: int64, UTF-8 bytes that each token stands for; 0 for special tokens.
        batch_size: rows in a forward pass; the result does not depend on it.
    """

    def __init__(
        self, rows: Sequence[np.ndarray], *, token_bytes_V: Tensor, batch_size: int
    ) -> None:
        assert rows, "no row is held out"
        self._rows = rows
        self._token_bytes_V = token_bytes_V
        self._batch_size = batch_size

    def sums(self, model: Qwen3ForCausalLM, *, process: int, num_processes: int) -> Tensor:
        """Nats, tokens and bytes of one process's part of the rows, float64 on the model's device.

        Args:
            model: in evaluation mode.
            process: takes every ``num_processes``-th row, from this one on.
            num_processes: how many processes share the rows.
        """
        token_bytes_V = self._token_bytes_V.to(model.device)
        sums = torch.zeros(3, dtype=torch.float64, device=model.device)
        for batch in self._batches(self._rows[process::num_processes]):
            input_ids_BT, target_ids_BT = (ids.to(model.device) for ids in as_pass(batch))
            nats_N = target_nats(model, input_ids_BT, target_ids_BT=target_ids_BT).double()
            num_bytes_N = token_bytes_V[target_ids_BT.flatten()]
            is_counted_N = num_bytes_N > 0
            nats = (nats_N * is_counted_N).sum()
            sums += torch.stack([nats, is_counted_N.sum().double(), num_bytes_N.sum().double()])
        return sums

    def _batches(self, rows: Sequence[np.ndarray]) -> Iterator[Sequence[np.ndarray]]:
        full = [row for row in rows if len(row) == len(self._rows[0])]
        for start in range(0, len(full), self._batch_size):
            yield full[start : start + self._batch_size]
        yield from ([row] for row in rows if len(row) != len(self._rows[0]))
