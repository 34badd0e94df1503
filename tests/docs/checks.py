"""Runs or judges the snippets that are no shell commands, each by what would read it.

Every function raises an error that says what is wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from qcfeed.model import messages
from tests.docs.snippets import Snippet
from tests.support.cli_parser import parse
from tests.support.patience import PATIENCE
from tests.support.shell import QCFEED, environment

KUBERNETES = ("1.29", "1.37")
"""The versions whose schemas deploy/kubernetes is checked with, too."""

_IN_A_LOOP = """
import ast, asyncio, inspect, sys
code = compile(sys.stdin.read(), "snippet", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
async def main():
    result = eval(code, {"__name__": "snippet"})
    if inspect.isawaitable(result):
        await result
asyncio.run(main())
"""
"""Executes a snippet with a running loop, so that it may await."""


def python(snippet: Snippet, home: Path) -> None:
    """A file of the page is compiled, because the page says how to run it; anything else is run."""
    if snippet.saved_as:
        compile(snippet.text, str(snippet), "exec")
        return
    _judge(home, sys.executable, "-W", "error", "-c", _IN_A_LOOP, stdin=snippet.text)


def toml(snippet: Snippet, home: Path) -> None:
    """A ``pyproject.toml`` of the page is read by the page's commands; all else is qcfeed's configuration."""
    tomllib.loads(snippet.text)
    if snippet.saved_as == "pyproject.toml":
        return
    file = home / "snippet.toml"
    file.write_text(snippet.text)
    _judge(home, QCFEED, "config", "check", file)


def yaml_(snippet: Snippet, home: Path) -> None:
    """Kubernetes, Prometheus or GitHub Actions."""
    for document in yaml.safe_load_all(snippet.text):
        if "apiVersion" in document:
            for version in KUBERNETES:
                kubernetes_validate.validate(document, version, strict=True)
            _options(document)
            continue
        reader = next((read for key, read in _READERS.items() if key in document), None)
        assert reader is not None, f"{snippet}: nothing here reads this YAML"
        file = home / "snippet.yml"
        file.write_text(snippet.text)
        reader(home, file)


def _options(manifest: dict[str, Any]) -> None:
    """The command line of each container with qcfeed is one that it takes."""
    pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
    for container in pod.get("containers", ()):
        if container["image"] == "qcfeed":
            parse(container["args"])


def _prometheus(home: Path, file: Path) -> None:
    """Debian builds Prometheus without Kubernetes: there, everything but the discovery is judged."""
    config = yaml.safe_load(file.read_text())
    for job in config["scrape_configs"]:
        for discovery in job.pop("kubernetes_sd_configs", ()):
            assert discovery["role"] in (
                "node",
                "service",
                "pod",
                "endpoints",
                "endpointslice",
                "ingress",
            )
            assert set(discovery) <= {"role", "namespaces", "selectors"}
    file.write_text(yaml.safe_dump(config))
    _judge(home, "promtool", "check", "config", "--syntax-only", file)


def _rules(home: Path, file: Path) -> None:
    _judge(home, "promtool", "check", "rules", file)


def _workflow(home: Path, file: Path) -> None:
    reader = ("check_jsonschema", "--builtin-schema", "vendor.github-workflows")
    _judge(home, sys.executable, "-m", *reader, file)


_READERS: dict[str, Callable[[Path, Path], None]] = {
    "scrape_configs": _prometheus, "groups": _rules, "jobs": _workflow,
}  # fmt: skip
"""Who reads a document with this key."""


def json_(snippet: Snippet, home: Path) -> None:
    """A message of the protocol per line: the service's own decoder takes it, and nothing is left over."""
    for line in snippet.text.splitlines():
        said: Any = json.loads(line)
        read = json.loads(messages.encode(messages.decode(line)))
        assert not (lost := said.keys() - read.keys()), f"{snippet}: no field {lost} in {line}"


def promql(snippet: Snippet, home: Path) -> None:
    rule = {"record": "snippet", "expr": snippet.text}
    file = home / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "snippet", "rules": [rule]}]}))
    _rules(home, file)


CHECKS: dict[str, Callable[[Snippet, Path], None]] = {
    "json": json_, "promql": promql, "python": python, "toml": toml, "yaml": yaml_,
}  # fmt: skip
"""What runs or judges a snippet, by its language."""


def _judge(home: Path, *command: str | Path, stdin: str = "") -> None:
    done = subprocess.run(
        [str(word) for word in command], cwd=home, env=environment(home), input=stdin,
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, f"{command[0]}\n{done.stdout}{done.stderr}"
