"""Libraries that use the network: quiet, and not waiting for ever for a hub that is silent."""

from functools import cache
from typing import Any

from sluice.logs import get_logger

logger = get_logger(__name__)

VLLM_ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1"}
"""What holds for vLLM where the user's environment says nothing else: no statistics are sent."""


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
    """A hub that is silent for HF_HUB_DOWNLOAD_TIMEOUT seconds (10) is taken for offline.

    huggingface_hub 2.4 asks for most things without any limit and repeats what failed: a hub that
    takes a connection and never answers would hold a step for many minutes, or for ever. Here the
    first request asks whether anybody is there; if not, only what was downloaded before is used.
    """
    from huggingface_hub import constants, get_session, set_client_factory

    longest_s = constants.HF_HUB_DOWNLOAD_TIMEOUT
    session = get_session()
    hooks, make_session = session.event_hooks, type(session)
    is_answering: dict[str, bool] = {}

    def before_each(request: Any) -> None:
        hub = f"{request.url.scheme}://{request.url.netloc.decode()}"
        if hub not in is_answering:
            is_answering[hub] = _answers(make_session, hub, longest_s)
        if not is_answering[hub]:
            constants.HF_HUB_OFFLINE = True  # as if the user had said HF_HUB_OFFLINE=1
        given = request.extensions.get("timeout", {})
        kinds = ("connect", "read", "write", "pool")
        limits = {kind: given.get(kind) or longest_s for kind in kinds}
        request.extensions = {**request.extensions, "timeout": limits}

    def make_client() -> Any:
        # The library's own hook comes behind ours: it refuses a request once the hub is offline.
        ours = {**hooks, "request": [before_each, *hooks["request"]]}
        return make_session(event_hooks=ours, follow_redirects=True)

    set_client_factory(make_client)


def _answers(make_session: Any, hub: str, longest_s: float) -> bool:
    """Whether anybody is there; an error's answer, too, is one."""
    try:
        with make_session(timeout=longest_s) as session:
            session.head(hub)
    except Exception as error:  # the HTTP client's own kinds
        logger.warning(
            "%s does not answer within %s s (%s): only what was downloaded before is used",
            *(hub, longest_s, type(error).__name__),
        )
        return False
    return True
