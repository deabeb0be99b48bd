"""The policy for AWS: what the store's code calls is allowed, and nothing else. No AWS is asked here."""

from __future__ import annotations

import ast
import json
import re
import warnings
from typing import Any

from tests.infra.files import INFRA, REPOSITORY, read_json

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import parliament

POLICY: dict[str, Any] = read_json(INFRA / "iam-policy.json")
# Rights that the calls of boto3 need, by the reference of Amazon S3.
NEEDS = {
    "get_object": {"s3:GetObject"}, "head_object": {"s3:GetObject"}, "download_file": {"s3:GetObject"},
    "put_object": {"s3:PutObject"}, "copy": {"s3:GetObject", "s3:PutObject"}, "delete_object": {"s3:DeleteObject"},
    "list_objects_v2": {"s3:ListBucket"}, "get_paginator": {"s3:ListBucket"},
    "create_multipart_upload": {"s3:PutObject"}, "upload_part": {"s3:PutObject"},
    "complete_multipart_upload": {"s3:PutObject"}, "abort_multipart_upload": {"s3:AbortMultipartUpload"},
}
NO_REQUEST = {"close", "exceptions", "meta"}


def as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def allowed(policy: dict[str, Any]) -> set[str]:
    return {action for statement in policy["Statement"] if statement["Effect"] == "Allow"
            for action in as_list(statement["Action"])}


def called() -> set[str]:
    """What the store's code asks of its client."""
    found = set()
    for path in (REPOSITORY / "qstar_core" / "store").glob("s3*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and re.search(r"\bs?_?client$", ast.unparse(node.value)):
                found.add(node.attr)
    return found - NO_REQUEST


def test_parliament_finds_nothing() -> None:
    findings = parliament.analyze_policy_string(json.dumps(POLICY)).findings
    assert [(finding.issue, finding.detail) for finding in findings] == []


def test_it_allows_what_the_store_calls_and_nothing_else() -> None:
    calls = called()
    assert {"get_object", "put_object", "upload_part"} <= calls <= set(NEEDS), calls - set(NEEDS)
    assert set().union(*(NEEDS[call] for call in calls)) == allowed(POLICY)


def test_every_right_is_below_the_prefix() -> None:
    for statement in POLICY["Statement"]:
        if statement["Effect"] == "Allow":
            resources = as_list(statement["Resource"])
            below = all(resource.endswith("/qstar/*") for resource in resources)
            assert below or statement["Condition"]["StringLike"]["s3:prefix"] == ["qstar/*", "qstar"]
            assert not any("*" in action for action in as_list(statement["Action"]))


def test_the_manual_shows_the_same_rights() -> None:
    text = (REPOSITORY / "docs" / "versions.md").read_text(encoding="utf-8")
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, flags=re.DOTALL)
             if '"Statement"' in block]
    assert len(shown) == 1 and allowed(shown[0]) == allowed(POLICY)
