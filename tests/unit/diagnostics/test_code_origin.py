from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from qcfeed.diagnostics import code_origin, self_check
from qcfeed.diagnostics.code_origin import (
    PROBES,
    WRAPPERS,
    CodeOrigin,
    declare_application,
    is_library,
    origins,
)
from qcfeed.server import hub

SITE = "/opt/venv/lib/python3.11/site-packages"
SCRIPTS = str(Path(sys.executable).parent)


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    before = set(code_origin._declared)
    yield
    code_origin._declared.clear()
    code_origin._declared.update(before)
    origins.clear()


@pytest.mark.parametrize(
    ("file", "origin"),
    [
        (__file__, CodeOrigin.APPLICATION),
        (hub.__file__, CodeOrigin.APPLICATION),  # a checkout
        ("<string>", CodeOrigin.APPLICATION),
        ("<ipython-input-1-abc>", CodeOrigin.APPLICATION),
        ("/srv/bot.py", CodeOrigin.APPLICATION),
        (f"{SCRIPTS}/tool.py", CodeOrigin.APPLICATION),
        (f"{SCRIPTS}/gunicorn", CodeOrigin.LIBRARY),
        (json.__file__, CodeOrigin.LIBRARY),
        ("<frozen importlib._bootstrap>", CodeOrigin.LIBRARY),
        (f"{SITE}/ccxt/future.py", CodeOrigin.LIBRARY),
        (f"{SITE}/single.py", CodeOrigin.LIBRARY),
        ("/usr/lib/python3/dist-packages/apt/cache.py", CodeOrigin.LIBRARY),
        (anyio.__file__, CodeOrigin.WRAPPER),
        (f"{SITE}/ddtrace/contrib/internal/asyncio/patch.py", CodeOrigin.WRAPPER),
        (asyncio.tasks.__file__, CodeOrigin.BETWEEN),
        (contextlib.__file__, CodeOrigin.BETWEEN),
        (code_origin.__file__, CodeOrigin.BETWEEN),
    ],
)
def test_whose_code_a_file_is(file: str, origin: CodeOrigin) -> None:
    assert origins[file] is origin
    assert is_library(file) is (origin is not CodeOrigin.APPLICATION)


def test_the_probes_are_created_as_by_an_application() -> None:
    assert self_check.__file__ == PROBES
    assert origins[PROBES] is CodeOrigin.APPLICATION


@pytest.mark.parametrize(
    ("file", "others"),
    [
        (f"{SITE}/shop/app/main.py", [f"{SITE}/shopping/app.py", f"{SITE}/shop.py"]),
        (f"{SITE}/shop.py", [f"{SITE}/shop/main.py"]),
    ],
)
def test_an_installed_application_can_be_declared(file: str, others: list[str]) -> None:
    assert is_library(file)  # and is remembered as one
    declare_application(file)
    assert not is_library(file)
    assert not is_library(file.replace("main", "other"))
    assert all(map(is_library, others))


def test_the_declaration_of_a_file_outside_changes_nothing() -> None:
    declare_application("/srv/bot.py")
    assert is_library(f"{SITE}/ccxt/future.py")
    assert not is_library("/srv/another.py")


def test_a_declared_application_is_no_wrapper() -> None:
    file = f"{SITE}/{min(WRAPPERS)}/patch.py"
    declare_application(file)
    assert origins[file] is CodeOrigin.APPLICATION


def test_all_installed_wrappers_are_where_they_are_expected() -> None:
    assert (
        origins[str(Path(anyio.__file__).parent / "_backends" / "_asyncio.py")]
        is CodeOrigin.WRAPPER
    )
