"""Asks all instances at once: those of this machine through their control sockets, or those on NATS."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec
import typer

from qcfeed.cli.context import ACTION_GRACE, options, say
from qcfeed.cluster import servers
from qcfeed.cluster.asker import Asker, Gathered
from qcfeed.cluster.core import operations
from qcfeed.cluster.core.operations import ClusterRequest
from qcfeed.config import ClusterConfig, NatsConfig, loading
from qcfeed.control import paths
from qcfeed.control.client import ControlClient, refusal
from qcfeed.control.connection import OK
from qcfeed.control.paths import ControlAddress
from qcfeed.errors import NotFoundError, QcfeedError, TimedOutError, UnreachableError, UsageError
from qcfeed.model.answer import Answer
from qcfeed.model.cluster_answers import ClusterAnswers, MemberAnswer, Unanswered

AnyAnswer = TypeVar("AnyAnswer", bound=Answer)

_AT_ONCE = 16
GIVEN_UP_S = 0.5
"""Seconds to wait for an instance that did not answer before."""


class Reply(NamedTuple):
    """One instance's answer as JSON, or the error that came instead."""

    member: str
    raw: bytes = b""
    error: QcfeedError | None = None


class Answered(NamedTuple, Generic[AnyAnswer]):
    """One instance's answer, decoded."""

    member: str
    answer: AnyAnswer
    raw: bytes


class Members(Protocol):
    """The instances of a cluster."""

    def ask(self, path: str, params: dict[str, Any]) -> Sequence[Reply]:
        """Request ``path`` of every instance. Takes at most the timeout."""

    def act(self, member: str, path: str, body: msgspec.Struct) -> Reply:
        """Request an action of one instance."""


class LocalMembers:
    """The instances that run on this machine as this user, or the workers of one service."""

    def __init__(self, group: str | None, timeout: float) -> None:
        """Raises UnreachableError if none runs."""
        self._group = group
        self._timeout = timeout
        self._given_up: set[str] = set()
        """Instances that did not answer in time once: later requests hardly wait for them."""
        self._names()

    def _names(self) -> list[str]:
        """Those that run now. Raises UnreachableError if none does."""
        group, running = self._group, paths.running_instances()
        supervisors = paths.supervisors(running)
        names = [
            each.name
            for each in running
            if each.name not in supervisors
            and (group is None or each.name == group or paths.is_worker(each.name, group))
        ]
        if not names:
            of = f" of {group}" if group else ""
            raise UnreachableError(
                f"no instance{of} runs here",
                hint="`qcfeed serve --workers 2` starts some; --cluster-servers names those on NATS",
            )
        return names

    def ask(self, path: str, params: dict[str, Any]) -> Sequence[Reply]:
        return self._all(lambda client: client.fetch(path, **params))

    def act(self, member: str, path: str, body: msgspec.Struct) -> Reply:
        return self._one(member, lambda client: client.send(path, body), longer=ACTION_GRACE)

    def _all(self, request: Callable[[ControlClient], bytes]) -> Sequence[Reply]:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return list(threads.map(lambda name: self._one(name, request), self._names()))

    def _one(
        self, name: str, request: Callable[[ControlClient], bytes], *, longer: float = 0.0
    ) -> Reply:
        timeout = GIVEN_UP_S if name in self._given_up else self._timeout + longer
        try:
            address = ControlAddress(socket=paths.socket_path(name))
            answer = request(ControlClient(address, timeout=timeout))
        except QcfeedError as error:
            if isinstance(error, TimedOutError):
                self._given_up.add(name)
            return Reply(name, error=error)
        self._given_up.discard(name)
        return Reply(name, answer)


class NatsMembers:
    """The instances on NATS servers."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def ask(self, path: str, params: dict[str, Any]) -> Sequence[Reply]:
        return _replies(self._asker.ask(ClusterRequest(path, operations.text_params(params))))

    def act(self, member: str, path: str, body: msgspec.Struct) -> Reply:
        request = ClusterRequest(path, body=msgspec.Raw(msgspec.json.encode(body)))
        return _replies(self._asker.act(member, request))[0]


def _replies(gathered: Gathered) -> list[Reply]:
    answered = [_reply(member, *answer) for member, answer in gathered.answers.items()]
    silent = [Reply(member, error=TimedOutError(why)) for member, why in gathered.silent.items()]
    return sorted(answered + silent, key=lambda reply: reply.member)


def _reply(member: str, status: int, raw: bytes) -> Reply:
    if status == OK:
        return Reply(member, raw)
    return Reply(member, error=refusal(raw) or UnreachableError(f"it answered with {status}"))


class Answers(Generic[AnyAnswer]):
    """The answers of all members to one request, decoded; programs without feeds are left out."""

    def __init__(self, replies: Sequence[Reply], kind: type[AnyAnswer]) -> None:
        self.good: list[Answered[AnyAnswer]] = []
        self.unanswered: list[Unanswered] = []
        for reply in replies:
            if isinstance(reply.error, NotFoundError):
                continue
            if reply.error is not None:
                self.unanswered.append(Unanswered(member=reply.member, why=reply.error.message))
                continue
            try:
                answer = msgspec.json.decode(reply.raw, type=kind)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                why = f"it answers in a way that this qcfeed does not know: {error}"
                self.unanswered.append(Unanswered(member=reply.member, why=why))
            else:
                self.good.append(Answered(reply.member, answer, reply.raw))

    def json(self, **further: Any) -> bytes:
        """All of them as one JSON document."""
        document = ClusterAnswers(
            answers=[
                MemberAnswer(member=each.member, answer=msgspec.Raw(each.raw)) for each in self.good
            ],
            **{"unanswered": self.unanswered} | further,
        )
        return msgspec.json.encode(document)

    def tell_unanswered(self) -> bool:
        """Say who did not answer; True if somebody did not. Raises UnreachableError if nobody did."""
        if not self.good:
            first = f": {self.unanswered[0].why}" if self.unanswered else ""
            raise UnreachableError(f"no instance answered{first}")
        for each in self.unanswered:
            say(f"no answer: {each.member}: {each.why}")
        return bool(self.unanswered)


def members(ctx: typer.Context, *, at_most: float = math.inf) -> Members:
    """The instances that the global options name. ``at_most``: seconds to wait for each answer."""
    given = options(ctx)
    given = given._replace(timeout=min(given.timeout, at_most))
    where = loading.load_group(ClusterConfig, {}, file=given.config).config.cluster_servers
    if where is None:
        return LocalMembers(given.instance, given.timeout)
    if given.instance is not None:
        raise UsageError(
            f"--instance is of this machine, and --cluster asks {where}",
            hint="omit --instance, or unset cluster_servers",
        )
    urls = servers.parse(where, "cluster_servers")
    config = loading.load_group(NatsConfig, {}, file=given.config).config
    return NatsMembers(Asker(urls, config, given.timeout))


def ask(ctx: typer.Context, path: str, kind: type[AnyAnswer], **params: Any) -> Answers[AnyAnswer]:
    """Request ``path`` of every instance."""
    return Answers(members(ctx).ask(path, params), kind)


def act(
    everyone: Members, member: str, path: str, body: msgspec.Struct, kind: type[AnyAnswer]
) -> AnyAnswer | None:
    """Request an action of one instance; None, and why is said, if it does not take it."""
    answers = Answers([everyone.act(member, path, body)], kind)
    for each in answers.unanswered:
        say(f"{each.member}: {each.why}")
    return answers.good[0].answer if answers.good else None
