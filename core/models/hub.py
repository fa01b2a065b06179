"""Models of the Hugging Face hub: their cached snapshots, and the errors of fetching them.

Knows no tensor and no format.
"""

from __future__ import annotations

from pathlib import Path

from core.errors import CheckpointError, reason

_SMALL = ("*.json", "*.jinja", "*.model", "*.py", "*.tiktoken", "*.txt")
"""Settings, tokenisers, chat templates and a model's own code, which runs only if it is trusted."""

_WEIGHTS = ("*.safetensors", "*.bin")
_LEFT_OUT = ("consolidated*", "original/*", "*/*")
_HTTP = "Open the hub in a browser on this machine: a network may show a login page first."


def snapshot(repository: str, revision: str | None) -> Path:
    """The folder of a model in the hub's cache, downloaded if it is absent.

    Prefers safetensors to `.bin` files. Raises CheckpointError.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        for weights in _WEIGHTS:
            folder = Path(
                snapshot_download(
                    repository,
                    revision=revision,
                    allow_patterns=[*_SMALL, weights],
                    ignore_patterns=[*_LEFT_OUT],
                )
            )
            if any(folder.glob(weights)):
                break
    except HFValidationError:
        raise CheckpointError(f"'{repository}' is neither a directory nor a hub id.") from None
    # Besides its own errors, the hub's library passes on errors of its HTTP client, of the system,
    # and of parsing an unexpected page.
    except Exception as error:
        reason, hint = _found(error, revision)
        raise CheckpointError(
            f"'{repository}' is no local directory, and {reason}.", hint=hint
        ) from None
    return folder


def _found(error: Exception, revision: str | None) -> tuple[str, str]:
    """The cause of a failed download, and a remedy."""
    from huggingface_hub import constants, errors

    cache = f"the hub's cache {constants.HF_HUB_CACHE} does not hold it"
    hub = f"the hub {constants.ENDPOINT}"
    match error:
        case errors.IncompleteSnapshotError():
            return f"the hub's cache {constants.HF_HUB_CACHE} holds only part of it", (
                "Download it again on a machine that reaches the hub."
            )
        case errors.LocalEntryNotFoundError() if constants.is_offline_mode():
            return f"{cache}; the hub was not asked (HF_HUB_OFFLINE is set)", (
                "Unset HF_HUB_OFFLINE to ask the hub, or set HF_HOME to the cache that holds it."
            )
        case errors.LocalEntryNotFoundError():
            return f"{cache}; {hub} {_answer(error.__cause__ or error)}", ""
        case errors.GatedRepoError():
            return f"{hub} gives it only to users whom its owner admitted", (
                f"Ask for access at {constants.ENDPOINT}, and log in with: hf auth login"
            )
        case errors.RepositoryNotFoundError():
            return f"{hub} shows no model of that name", (
                "Check the name. The hub hides private models until you log in: hf auth login"
            )
        case errors.RevisionNotFoundError():
            return (
                f"{hub} has no revision '{revision}' of it",
                "Check the revision in the study file.",
            )
        case errors.HfHubHTTPError():
            return f"{hub} {_answer(error)}", ""
        case ValueError() | LookupError() | TypeError() | AttributeError():
            words = f"{type(error).__name__}: {reason(error, 100)}"
            return f"{hub} gave an unexpected answer ({words})", _HTTP
    return f"it can't be downloaded from {hub}: {type(error).__name__}: {reason(error)}", ""


def _answer(error: BaseException) -> str:
    from huggingface_hub.errors import HfHubHTTPError

    if not isinstance(error, HfHubHTTPError):
        return f"gave no answer ({type(error).__name__}: {reason(error)})"
    message = f" ({error.server_message[:100]})" if error.server_message else ""
    return f"answered with status {error.response.status_code}{message}"
