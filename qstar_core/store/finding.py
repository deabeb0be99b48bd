"""A version as a user names it: `latest`, its name, the beginning of its name, or the address of its folder."""

from __future__ import annotations

from collections.abc import Callable

from qstar_core.errors import ConfigError, NotFoundError
from qstar_core.store.objects import ObjectStore
from qstar_core.store.versions import Versions

LATEST = "latest"


def find_version(store: ObjectStore, dataset: str, name: str, open_at: Callable[[str], ObjectStore],
                 ) -> tuple[ObjectStore, Versions, str]:
    """The store it is in, its dataset, and its full name. `open_at` opens the store of an address."""
    if "/" in name:
        store, dataset, name = _at_address(name, open_at)
    versions = Versions(store, dataset)
    if name == LATEST:
        return store, versions, versions.latest_name()
    known = list(versions.names())
    found = [name] if name in known else [full for full in known if full.startswith(name)]
    if len(found) > 1:
        raise ConfigError(f"{name!r} begins {len(found)} versions of {dataset}", f"name one of: {', '.join(found)}")
    if not found or not name:
        raise NotFoundError(f"dataset {dataset} has no version {name!r}",
                            f"there are: {', '.join(known) or 'none yet'}")
    return store, versions, found[0]


def _at_address(address: str, open_at: Callable[[str], ObjectStore]) -> tuple[ObjectStore, str, str]:
    """`<store>/datasets/<dataset>/versions/<version>`."""
    root, _, rest = address.rstrip("/").removesuffix("/manifest.json").rpartition("/datasets/")
    parts = rest.split("/")
    if not root or len(parts) != 3 or parts[1] != "versions":
        raise ConfigError(f"{address!r:.200} is not the address of a version",
                          "give <store>/datasets/<name>/versions/<version>, as `qstar datasets show` prints it")
    return open_at(root), parts[0], parts[2]
