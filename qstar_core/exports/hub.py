"""An exported folder → a dataset repository on the hub. The one home of huggingface_hub in the exports.

The token is read by the library from its usual places (HF_TOKEN, `hf auth login`) and is in no message of ours.
"""

from __future__ import annotations

import re
from pathlib import Path

from qstar_core.errors import ConfigError, StoreError, UnavailableError

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


def check_repository(name: str) -> None:
    if not _REPOSITORY.fullmatch(name) or len(name) > 96 or ".." in name or "--" in name:
        raise ConfigError(f"--push {name!r:.120} is no repository of the hub", "give owner/name")


def push(folder: Path, repository: str, *, private: bool, message: str, endpoint: str | None = None) -> str:
    """The address of the dataset. It is made where it does not exist; one commit holds all files. `endpoint` is the
    hub's address where it is not the one of HF_ENDPOINT."""
    from huggingface_hub import HfApi

    # HTTPError is that of the HTTP library that the installed hub library uses.
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    check_repository(repository)
    api = HfApi(endpoint=endpoint, library_name="qstar")
    try:
        made = api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, repo_type="dataset", commit_message=message)
    except OfflineModeIsEnabled:
        raise ConfigError("HF_HUB_OFFLINE forbids to push", "unset it") from None
    except LocalTokenNotFoundError:
        raise ConfigError(f"no token to push {repository} with", "set HF_TOKEN, or run `hf auth login`") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise ConfigError(f"the hub does not let you write {repository} (HTTP {status})",
                              "set HF_TOKEN to a token that may write there") from None
        raise StoreError(f"the hub answered HTTP {status} for {repository}",
                         "try again, or look at the hub's status") from None
    except (HTTPError, OSError) as error:
        raise UnavailableError(f"the hub at {api.endpoint} cannot be reached ({type(error).__name__})",
                               "check the network and HF_ENDPOINT; the exported folder is complete") from None
    return str(made)
