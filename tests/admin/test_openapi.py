"""The description of both ports, and its page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from openapi_spec_validator import validate
from werkzeug.test import Client

import bleepstore
from bleepstore_server import load_config
from bleepstore_server.admin.app import AdminApp
from bleepstore_server.admin.schemas import Schemas
from bleepstore_server.admin.services import services_of
from bleepstore_server.admin.table import ROWS
from bleepstore_server.router import ROUTES


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with bleepstore.open() as store:
        yield Client(AdminApp(services_of(store, load_config())))


@pytest.fixture(scope="module")
def document(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(client.get("/openapi.json").data)
    return found


def test_it_is_valid(document: dict[str, Any]) -> None:
    validate(document)


def test_it_has_each_row_and_each_operation(document: dict[str, Any]) -> None:
    found = {
        operation["operationId"]
        for item in document["paths"].values()
        for method, operation in item.items()
        if method != "servers"
    }
    assert {route.operation for route in ROUTES if route.function is not None} <= found
    for row in ROWS:
        assert row.method.lower() in document["paths"][row.path]
    assert len(found) == len(ROWS) + len([route for route in ROUTES if route.function is not None])


def test_answers_have_the_shapes_that_are_declared(client: Client, document: dict[str, Any]) -> None:
    from jsonschema import Draft202012Validator

    schema = document["paths"]["/health"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    whole = {**schema, "components": document["components"]}
    Draft202012Validator(whole).validate(json.loads(client.get("/health").data))


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing(client: Client) -> None:
    answer = client.get("/docs")
    page = answer.text
    assert answer.content_type == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "<script" not in page
    assert re.findall(r'(?:src|href)="([^"]+)"', page) == ["openapi.json"]
    assert all(route.operation in page for route in ROUTES if route.function is not None)


def test_a_type_that_no_json_has_is_an_error() -> None:
    @attrs.frozen
    class Wrong:
        field: complex

    with pytest.raises(TypeError, match="complex"):
        Schemas().of(Wrong)
