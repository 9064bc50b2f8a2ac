"""Our service model against AWS's own: every operation that we model, down to the last member."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.aws.clients import MODELS
from tests.contract.conftest import AwsClient

FOLDER = MODELS / "nimble" / "2020-08-01"
#: What AWS's model says beyond the wire: prose, and limits that its servers hold, not its clients.
NOT_OF_THE_WIRE = {"documentation", "min", "max", "pattern"}
OPERATIONS = ("ListStudios", "GetStudio", "ListStreamingSessionBackups", "GetStreamingSessionBackup")


def read(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(FOLDER, name).read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def theirs(aws_client: AwsClient) -> Mapping[str, Any]:
    model: Mapping[str, Any] = aws_client("model")
    assert model["version"] == "1.35.47"
    return model


def unfolded(shape: str, shapes: Mapping[str, Any]) -> Any:
    """Return a shape with its members' shapes in the places of their names."""
    return resolved({name: value for name, value in shapes[shape].items() if name not in NOT_OF_THE_WIRE}, shapes)


def resolved(part: Any, shapes: Mapping[str, Any]) -> Any:
    if isinstance(part, dict):
        made = {}
        for name, value in part.items():
            if name == "shape":
                made["shape"] = unfolded(value, shapes)
            elif name != "documentation" or not isinstance(value, str):
                made[name] = resolved(value, shapes)
        return made
    return [resolved(each, shapes) for each in part] if isinstance(part, list) else part


def operation(name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that the wire has of an operation: method, URI, query, members, errors."""
    given = {key: value for key, value in model["operations"][name].items() if key != "documentation"}
    errors = {error["shape"]: unfolded(error["shape"], model["shapes"]) for error in given.pop("errors")}
    return {**resolved(given, model["shapes"]), "errors": errors}


def test_we_model_what_we_use_and_no_more() -> None:
    assert set(read("service-2.json")["operations"]) == set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_differs_in_nothing(name: str, theirs: Mapping[str, Any]) -> None:
    assert operation(name, read("service-2.json")) == operation(name, theirs["service"])


def test_the_metadata_differ_in_nothing(theirs: Mapping[str, Any]) -> None:
    assert read("service-2.json")["metadata"] == theirs["service"]["metadata"]


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name.startswith("List")])
def test_the_paginators_differ_in_nothing(name: str, theirs: Mapping[str, Any]) -> None:
    assert read("paginators-1.json")["pagination"][name] == theirs["paginators"][name]


def test_no_shape_is_left_over() -> None:
    model = read("service-2.json")
    used = json.dumps(model["operations"]) + json.dumps(model["shapes"])
    assert [name for name in model["shapes"] if f'"shape": "{name}"' not in used] == []
