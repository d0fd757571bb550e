"""Keeps a model behind an OpenAI-compatible server until Ctrl-C.

python workflow_scripts/serve_model.py --model_path Qwen/Qwen2.5-3B-Instruct
"""

from pathlib import Path

from sluice.cli import run
from sluice.settings.base import narrow
from sluice.settings.flywheel import ServerSettings


class Arguments(ServerSettings):
    """Serve a model on this machine: vLLM's server on a GPU, transformers' own elsewhere."""

    model_path: str
    """Folder or hub id of the model."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    port: int | None = None
    """Port to listen on; a free one where not given. Only this machine is listened to."""
    server_log: Path = Path("results/.state/serve_model/server.log")
    """Where the server's own words go."""


def main(arguments: Arguments) -> None:
    """Serves until it is stopped."""
    from sluice.flywheel.bootstrapping import serve_model

    serve_model(
        arguments.model_path,
        revision=arguments.revision,
        settings=narrow(arguments, ServerSettings),
        port=arguments.port,
        log_path=arguments.server_log,
    )


if __name__ == "__main__":
    run(Arguments, main)
