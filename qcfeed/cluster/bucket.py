"""The JetStream key-value bucket of the leases: carries out the lease's requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from qcfeed.cluster.connection import NatsConnection
from qcfeed.cluster.core.lease import (
    CreateKey,
    Entry,
    LeaseAnswer,
    LeaseOutcome,
    LeaseRequest,
    RaiseRevision,
    Stored,
    UpdateKey,
)
from qcfeed.cluster.nats_client import describe
from qcfeed.errors import UpstreamError

if TYPE_CHECKING:
    from nats.js.kv import KeyValue

NAME = "qcfeed-leases"
_STREAM = f"KV_{NAME}"


class LeaseBucket:
    """The bucket on one connection. Create it with ``open_bucket``. ``ttl``: its time to live in seconds."""

    def __init__(self, connection: NatsConnection, kv: KeyValue, ttl: float) -> None:
        self._kv = kv
        self._connection = connection
        self.ttl = ttl
        self.problem: str | None = None
        """Why the last request was not carried out."""

    async def carry_out(self, key: str, request: LeaseRequest, timeout: float) -> LeaseAnswer:
        """Send the request; its outcome is UNKNOWN after ``timeout`` seconds."""
        from nats import errors
        from nats.js import errors as js_errors

        try:
            async with asyncio.timeout(timeout):
                answer = await self._send(key, request)
        except (TimeoutError, errors.TimeoutError):
            return self._failed(LeaseOutcome.UNKNOWN, "JetStream does not answer")
        except js_errors.KeyNotFoundError:
            answer = LeaseOutcome.ABSENT
        except js_errors.KeyWrongLastSequenceError:
            answer = LeaseOutcome.CONFLICT
        except js_errors.NoStreamResponseError:
            return await self._explain_silence(timeout)
        except js_errors.APIError as error:
            if error.err_code == _NO_STREAM:
                return self._failed(LeaseOutcome.NO_BUCKET, "the bucket of the leases was deleted")
            return self._failed(LeaseOutcome.REFUSED, f"JetStream refused: {error.description}")
        except (errors.Error, OSError) as error:
            return self._failed(LeaseOutcome.UNKNOWN, describe(error))
        self.problem = None
        return answer

    async def _send(self, key: str, request: LeaseRequest) -> LeaseAnswer:
        if isinstance(request, CreateKey):
            # `update` without a revision; nats-py's `create` would also replace a deleted key.
            return Stored(await self._kv.update(key, request.holder.encode(), last=0))
        if isinstance(request, UpdateKey):
            return Stored(await self._kv.update(key, request.holder.encode(), last=request.last))
        if isinstance(request, RaiseRevision):
            # Removes what has a lower sequence number; if nothing is left, the next message gets this one.
            js = self._connection.client.jetstream()
            await js.purge_stream(_STREAM, seq=request.above + 1)
            return LeaseOutcome.RAISED
        entry = await self._kv.get(key)
        return Entry((entry.value or b"").decode("utf-8", "replace"), entry.revision or 0)

    async def _explain_silence(self, timeout: float) -> LeaseAnswer:
        """Nothing listens for the bucket: it was deleted, or its servers have no leader now."""
        from nats import errors
        from nats.js import errors as js_errors

        try:
            async with asyncio.timeout(timeout):
                await self._connection.client.jetstream(timeout=timeout).stream_info(_STREAM)
        except js_errors.NotFoundError:
            return self._failed(LeaseOutcome.NO_BUCKET, "the bucket of the leases was deleted")
        except (TimeoutError, errors.Error, OSError):
            pass
        return self._failed(
            LeaseOutcome.REFUSED, "JetStream has no leader for the bucket of the leases"
        )

    def _failed(self, outcome: LeaseOutcome, why: str) -> LeaseOutcome:
        self.problem = self._connection.explain(why)
        return outcome


async def open_bucket(
    connection: NatsConnection,
    *,
    ttl: float,
    replicas: int,
    first_revision: int,
    timeout: float = 5.0,
) -> LeaseBucket:
    """Open the bucket; create it if there is none, with ``first_revision`` as its first.

    Raises UpstreamError if JetStream refuses or does not answer.
    """
    from nats import errors
    from nats.js import errors as js_errors

    # nats-py may catch the cancellation with which ``carry_out`` ends a request, so it gets a timeout of its own.
    js = connection.client.jetstream(timeout=min(timeout, ttl / 2))
    try:
        try:
            kv = await js.key_value(NAME)
        except js_errors.NotFoundError:
            await js.add_stream(_configuration(ttl, replicas, first_revision))
            kv = await js.key_value(NAME)
        status = await kv.status()
    except js_errors.NoStreamResponseError as error:
        raise UpstreamError(
            "the NATS server has no JetStream, which keeps the leases: start it with `nats-server -js`"
        ) from error
    except js_errors.APIError as error:
        raise UpstreamError(
            f"JetStream refused the bucket of the leases: {error.description}"
        ) from error
    except (errors.Error, OSError, TimeoutError) as error:
        why = connection.explain(f"JetStream does not answer: {describe(error)}")
        raise UpstreamError(why) from error
    return LeaseBucket(connection, kv, status.ttl or ttl)


def _configuration(ttl: float, replicas: int, first_revision: int):  # type: ignore[no-untyped-def]
    """The stream behind the bucket, as NATS defines key-value buckets.

    ``create_key_value`` cannot set the first sequence number, and so the first revision.
    """
    from nats.js import api

    return api.StreamConfig(
        name=_STREAM,
        description="which qcfeed feeder owns which share of the symbols",
        subjects=[f"$KV.{NAME}.>"],
        max_msgs_per_subject=1,
        max_age=ttl,
        duplicate_window=ttl,
        max_msg_size=1_024,
        discard=api.DiscardPolicy.NEW,
        storage=api.StorageType.FILE,
        num_replicas=replicas,
        # Reads come from the leader: an older copy could name an owner that is gone.
        allow_direct=False,
        allow_rollup_hdrs=True,
        deny_delete=True,
        first_seq=first_revision,
    )


_NO_STREAM = 10_059
