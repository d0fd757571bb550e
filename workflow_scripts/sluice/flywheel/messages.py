"""What messages hold beside text: reasoning in <think> tags, the mark that ends a dialogue."""

END_MARK = "[END]"
"""What the simulated user writes when there is nothing more to ask."""

_CLOSE = "</think>"


def without_thoughts(answer: str) -> str:
    """The answer as the user sees it: what stands behind its reasoning.

    Of an answer that was cut off while it was reasoning nothing is left.
    """
    if _CLOSE in answer:
        return answer.rsplit(_CLOSE, 1)[1].strip()
    return "" if answer.lstrip().startswith("<think>") else answer.strip()
