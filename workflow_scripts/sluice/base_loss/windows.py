"""Documents longer than a model's context, cut into windows that overlap or not.

A document is never packed with others, and its windows depend on nothing but its own tokens. So
the result depends neither on the batch size nor on the order of the documents or the number of
processes; where several short documents shared one row, it would depend on who stands before whom.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Window:
    """Part of a document that goes through the model at once."""

    document: int
    start: int
    """The first token that is read."""
    first_target: int
    """The first token that is predicted here; those before it were predicted in earlier windows."""
    end: int
    """One behind the last token that is predicted; the tokens up to the one before it are read."""

    @property
    def num_inputs(self) -> int:
        """Tokens that are read."""
        return self.end - 1 - self.start


def plan_windows(lengths: Sequence[int], *, max_seq_len: int, stride: int) -> list[Window]:
    """Windows in which every token but a document's first is predicted exactly once.

    The first window predicts up to ``max_seq_len`` tokens, each later one ``stride`` more, behind
    as much of what stands before them as fits.

    Args:
        lengths: tokens of each document.
        max_seq_len: tokens that a window reads at most.
        stride: tokens that a later window predicts, 1 to ``max_seq_len``.
    """
    windows: list[Window] = []
    for document, length in enumerate(lengths):
        done, end = 1, min(length, max_seq_len + 1)
        while done < length:
            windows.append(Window(document, max(0, end - 1 - max_seq_len), done, end))
            done, end = end, min(length, end + stride)
    return windows


def plan_batches(windows: Sequence[Window], *, batch_size: int) -> list[list[int]]:
    """Indices of the windows in batches of similar lengths, longest first.

    The longest first: a machine that lacks memory says so at once.
    """
    order = sorted(range(len(windows)), key=lambda index: (-windows[index].num_inputs, index))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
