"""The model hub's libraries: quiet, and not waiting for ever for a hub that does not answer."""

from functools import cache
from typing import Any


@cache
def prepare_transformers() -> None:
    """Silences transformers' notices and loading bars, and limits its waits; errors come through.

    Call it before anything that may be loaded from the hub.
    """
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    limit_hub_waits()


@cache
def limit_hub_waits() -> None:
    """A hub that is silent for HF_HUB_DOWNLOAD_TIMEOUT seconds (10) is an error.

    huggingface_hub 2.4 asks for most things without any limit: a hub that takes a connection and
    never answers would hold a step until its own time runs out.
    """
    from huggingface_hub import constants, get_session, set_client_factory

    longest_s = constants.HF_HUB_DOWNLOAD_TIMEOUT
    session = get_session()
    hooks = session.event_hooks

    def limit(request: Any) -> None:
        given = request.extensions.get("timeout", {})
        kinds = ("connect", "read", "write", "pool")
        limits = {kind: given.get(kind) or longest_s for kind in kinds}
        request.extensions = {**request.extensions, "timeout": limits}

    def make_client() -> Any:
        return type(session)(
            event_hooks={**hooks, "request": [*hooks["request"], limit]}, follow_redirects=True
        )

    set_client_factory(make_client)
