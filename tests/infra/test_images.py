"""The Dockerfile and what enters its build. No image is built here: the tests read, and lint."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.infra.files import INFRA, REPOSITORY

DOCKERFILE = INFRA / "docker" / "Dockerfile"
TEXT = DOCKERFILE.read_text(encoding="utf-8")


def stages() -> dict[str, str]:
    """The instructions of each stage by its name."""
    found = re.split(r"^FROM \S+ AS (\S+)\n", TEXT, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint if hadolint.exists() else shutil.which("hadolint") or "hadolint", "--no-color",
                           "--failure-threshold", "style", DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_images_that_are_shipped_do_not_run_as_root() -> None:
    users = re.findall(r"^USER (\S+)", stages()["base"], flags=re.MULTILINE)
    assert users == ["10001:10001"]
    for name in ("server", "worker"):
        assert re.search(rf"^FROM base AS {name}$", TEXT, flags=re.MULTILINE) and "USER" not in stages()[name]


def test_every_installation_is_held_by_the_lock() -> None:
    for line in re.findall(r"pip install .*", TEXT):
        held = "-c requirements.lock" in line
        assert held or "-r torch.txt" in line, line
    assert "grep -m1 '^torch==' requirements.lock > torch.txt" in TEXT
    wanted = re.search(r"\^\(([^)]+)\)==", stages()["build-server"])
    assert wanted is not None
    names = wanted[1].split("|")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    assert {name for name in names if any(re.match(rf"{name}[<>=]", line) for line in asked)} == set(names)
    assert f'= {len(names)} ' in stages()["build-server"], "a name that the lock lacks ends the build"


def test_what_is_copied_exists_and_is_let_into_the_build() -> None:
    lines = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*", "everything is refused but what is named"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, flags=re.MULTILINE)
    copied = {word for line in lines for word in line.split()}
    assert copied == let_in and all((REPOSITORY / name).exists() for name in let_in)


def test_the_extras_exist() -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.search(r"^ARG EXTRAS=(\S+)", TEXT, flags=re.MULTILINE)
    assert named is not None and set(named[1].split(",")) <= set(extras)


def test_every_package_of_the_distribution_is_copied() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert all(f"COPY {name} {name}\n" in TEXT for name in packages)
