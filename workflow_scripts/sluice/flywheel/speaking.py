"""The clients of the step at hand: the offline server where it is named, and the local model."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from sluice.errors import ConfigError
from sluice.flywheel.offline_server import MODELS, OfflineServer
from sluice.llm.access import access_to
from sluice.llm.client import Access
from sluice.settings.llm import OFFLINE, Endpoint


@contextlib.contextmanager
def reachable(endpoint: Endpoint, *, law_path: Path) -> Iterator[Access]:
    """How an endpoint is reached, with the offline server running where it is the one meant.

    Args:
        endpoint: the settings.
        law_path: what the offline server knows.
    Raises:
        ConfigError: the model's name does not go with the server, or the key cannot be read.
    """
    is_offline = endpoint.base_url == OFFLINE
    if is_offline != (endpoint.model in MODELS):
        raise ConfigError(
            f"'model' is '{endpoint.model}' at {endpoint.base_url}",
            expected=f"one of {', '.join(MODELS)} at base_url 'offline'; elsewhere a model that "
            "the server knows",
        )
    if not is_offline:
        yield access_to(endpoint)
        return
    with OfflineServer(law_path) as server:
        yield access_to(endpoint, base_url=server.url, identity=server.identity)
