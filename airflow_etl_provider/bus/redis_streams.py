"""The bus over Redis Streams: a stream per lane, read by one reader of each group at a time."""

from __future__ import annotations

import re
import time
import uuid
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.bus.base import MAX_ATTEMPTS, DeadLetter, Guarantee
from airflow_etl_provider.bus.event import decode_event, encode_event
from airflow_etl_provider.exceptions import BusUnavailableError, EventError, SpecificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Redis

    from airflow_etl_provider.bus.event import Event
    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["RedisBus", "redis_bus"]

LANES = 8
"""Streams that keys are spread over. Changing it breaks the order of what waits."""

_REMEMBERED = 24 * 3600
"""Seconds that an event's id is remembered, so that telling it again tells it once."""

_TRIM_EVERY = 500
"""Events between two trimmings of a lane."""

_MOST = 1_000_000
"""Events of a lane that are kept where no group reads them."""

_POLL = 0.05

_ENTRY = re.compile(r"\d{1,20}-\d{1,20}")

_READER = "reader"
"""Every group reads under one name: who holds a lane finds what was left unfinished before."""

# KEYS: the lane, the id's memory. ARGV: the event, the seconds.
_TELL = """
if redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[2]) then
  redis.call('XADD', KEYS[1], '*', 'event', ARGV[1])
  return 1
end
return 0
"""

# KEYS: the lock. ARGV: the holder, the milliseconds.
_HOLD = """
local holder = redis.call('GET', KEYS[1])
if not holder or holder == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1
end
return 0
"""

# KEYS: the lock, the lane, the attempts. ARGV: the holder, the group, the entry.
_ACK = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('XACK', KEYS[2], ARGV[2], ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[3])
return 1
"""

# KEYS: the lock, the lane, the attempts, the dead. ARGV: the holder, the group, the entry, the
# event, the reason, the most attempts. Gives -1 where the lane was lost, 1 where it is dead now.
_NACK = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
if redis.call('HINCRBY', KEYS[3], ARGV[3], 1) < tonumber(ARGV[6]) then return 0 end
redis.call('XADD', KEYS[4], '*', 'event', ARGV[4], 'reason', ARGV[5], 'lane', KEYS[2])
redis.call('XACK', KEYS[2], ARGV[2], ARGV[3])
redis.call('HDEL', KEYS[3], ARGV[3])
return 1
"""


class RedisBus:
    """Carries events across crashes, as durably as Redis itself is told to be.

    Redis must write each command to disk before it answers (`appendonly yes`, `appendfsync always`)
    for an event to survive the machine's end; with `everysec` a second of events may be lost.

    :param client: of redis-py, answering bytes.
    :param prefix: of all keys.
    :param hold: seconds that a reader may take for what it received; after that another one takes
        over, and it comes again.
    """

    guarantee = Guarantee(survives="crash", ordered_by="key")

    def __init__(
        self,
        client: Redis,
        *,
        prefix: str = "etl:events",
        max_attempts: int = MAX_ATTEMPTS,
        hold: float = 60.0,
    ) -> None:
        self._redis = client
        self._prefix = prefix
        self._max_attempts = max_attempts
        self._hold_ms = int(hold * 1000)
        self._holder = uuid.uuid4().hex
        self._held: set[tuple[str, int]] = set()
        self._groups: set[tuple[str, int]] = set()
        self._next = 0
        self._since_trim = [0] * LANES
        self._take_hold = client.register_script(_HOLD)
        self._ack = client.register_script(_ACK)
        self._nack = client.register_script(_NACK)

    def publish(self, events: Sequence[Event]) -> None:
        # All are checked before the first is told.
        told = [(self._lane_of(event.key), event.id, encode_event(event)) for event in events]
        if not told:
            return

        def send() -> None:
            with self._redis.pipeline(transaction=False) as pipe:
                for lane, event_id, data in told:
                    # By its text: in a pipeline, a server that started anew would know no hash.
                    pipe.eval(
                        _TELL,
                        2,
                        self._stream(lane),
                        f"{self._prefix}:told:{event_id}",
                        data,
                        _REMEMBERED,
                    )
                pipe.execute()

        self._patiently(send)
        for lane, _, _ in told:
            self._since_trim[lane] += 1
        for lane in {lane for lane, _, _ in told}:
            if self._since_trim[lane] >= _TRIM_EVERY:
                self._since_trim[lane] = 0
                self._patiently(partial(self._trim, lane))

    def receive(
        self, group: str, *, limit: int = 100, wait: float = 0.0
    ) -> Sequence[RedisDelivery]:
        until = time.monotonic() + wait
        while True:
            found: list[RedisDelivery] = []
            # Another lane first each time, so that a full one starves none.
            self._next = (self._next + 1) % LANES
            for turn in range(LANES):
                if len(found) >= limit:
                    break
                lane = (self._next + turn) % LANES
                found += self._patiently(partial(self._take, group, lane, limit - len(found)))
            left = until - time.monotonic()
            if found or left <= 0:
                return found
            time.sleep(min(_POLL, left))

    def acknowledge(self, deliveries: Sequence[RedisDelivery]) -> None:
        if not deliveries:
            return

        def send() -> None:
            with self._redis.pipeline(transaction=False) as pipe:
                for delivery in deliveries:
                    group, lane = delivery.group, delivery.number
                    pipe.eval(
                        _ACK,
                        3,
                        self._lock(group, lane),
                        self._stream(lane),
                        self._attempts(group, lane),
                        self._holder,
                        group,
                        delivery.entry,
                    )
                pipe.execute()

        self._patiently(send)

    def dead(self, group: str, *, limit: int = 100) -> Sequence[DeadLetter]:
        found: Any = self._patiently(lambda: self._redis.xrange(self._dead(group), count=limit))
        return [
            DeadLetter(
                id=entry.decode(),
                reason=fields.get(b"reason", b"").decode("utf-8", "replace"),
                event=_event_or_none(fields.get(b"event", b"")),
            )
            for entry, fields in found
        ]

    def requeue(self, group: str, letter_id: str) -> bool:
        if not _ENTRY.fullmatch(letter_id):
            return False
        found: Any = self._patiently(
            lambda: self._redis.xrange(self._dead(group), letter_id, letter_id)
        )
        if not found:
            return False
        _, fields = found[0]

        def move() -> None:
            with self._redis.pipeline(transaction=True) as pipe:
                pipe.xadd(fields[b"lane"], {"event": fields[b"event"], "only": group})
                pipe.xdel(self._dead(group), letter_id)
                pipe.execute()

        self._patiently(move)
        return True

    def check(self) -> None:
        self._patiently(self._redis.ping)

    def close(self) -> None:
        from redis.exceptions import RedisError

        try:
            for group, lane in self._held:
                key = self._lock(group, lane)
                if self._redis.get(key) == self._holder.encode():
                    self._redis.delete(key)
        except RedisError:
            # Locks run out by themselves.
            self._held.clear()
        self._held.clear()
        self._redis.close()

    def _take(self, group: str, lane: int, limit: int) -> list[RedisDelivery]:
        """Read a lane that no other reader holds: what was left unfinished, or what is new."""
        held = self._take_hold(keys=[self._lock(group, lane)], args=[self._holder, self._hold_ms])
        if not held:
            self._held.discard((group, lane))
            return []
        self._held.add((group, lane))
        self._ensure_group(group, lane)
        stream = self._stream(lane)
        left = self._read(group, stream, "0", limit)
        entries = left or self._read(group, stream, ">", limit)
        # Only what came before can have failed before.
        failed: Any = self._redis.hgetall(self._attempts(group, lane)) if left else {}
        found = []
        for entry, fields in entries:
            delivery = self._delivery(group, lane, entry, fields, int(failed.get(entry, 0)) + 1)
            if delivery is not None:
                found.append(delivery)
        return found

    def _read(self, group: str, stream: str, after: str, limit: int) -> list[Any]:
        answer: Any = self._redis.xreadgroup(group, _READER, {stream: after}, count=limit)
        if not answer:
            return []
        # A list of pairs, or a dict in RESP 3.
        (entries,) = answer.values() if isinstance(answer, dict) else [answer[0][1]]
        if isinstance(answer, dict) and entries and isinstance(entries[0][0], list | tuple):
            (entries,) = entries
        return list(entries)

    def _delivery(
        self,
        group: str,
        lane: int,
        entry: bytes,
        fields: dict[bytes, bytes] | None,
        attempt: int,
    ) -> RedisDelivery | None:
        """Make a delivery; what is no event is put aside at once, and holds nobody up."""
        only = (fields or {}).get(b"only")
        if not fields or (only is not None and only.decode() != group):
            # Trimmed away, or given back to another group.
            self._redis.xack(self._stream(lane), group, entry)
            return None
        data = fields.get(b"event", b"")
        try:
            event = decode_event(data)
        except EventError as error:
            self._nack(
                keys=[
                    self._lock(group, lane),
                    self._stream(lane),
                    self._attempts(group, lane),
                    self._dead(group),
                ],
                args=[self._holder, group, entry, data, error.message, 0],
            )
            return None
        return RedisDelivery(self, group, lane, entry, data, event, attempt)

    def _ensure_group(self, group: str, lane: int) -> None:
        from redis.exceptions import ResponseError

        if (group, lane) in self._groups:
            return
        try:
            self._redis.xgroup_create(self._stream(lane), group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._groups.add((group, lane))

    def _trim(self, lane: int) -> None:
        """Drop what every group has handled; what none reads, when there is too much of it."""
        stream = self._stream(lane)
        groups: Any = self._redis.xinfo_groups(stream)
        if not groups:
            self._redis.xtrim(stream, maxlen=_MOST, approximate=True)
            return
        firsts = []
        for group in groups:
            pending: Any = self._redis.xpending(stream, group["name"])
            firsts.append(pending["min"] if pending["pending"] else group["last-delivered-id"])
        oldest = min(firsts, key=lambda entry: tuple(int(n) for n in entry.split(b"-")))
        self._redis.xtrim(stream, minid=oldest, approximate=True)

    def _patiently(self, work: Callable[[], Any]) -> Any:
        """Try again while Redis starts anew.

        :raises BusUnavailableError: it stays away.
        """
        from redis import exceptions

        for pause in (0.1, 0.3, 1.0, 2.0, 4.0, None):
            try:
                return work()
            except (
                exceptions.ConnectionError,
                exceptions.TimeoutError,
                exceptions.BusyLoadingError,
            ) as error:
                # A server that lost its data knows the groups no more.
                self._groups.clear()
                if pause is None:
                    raise BusUnavailableError(
                        f"Redis can't be reached ({type(error).__name__}).",
                        hint="Events that were told are kept by it; tell the others again.",
                    ) from error
                time.sleep(pause)
            except exceptions.RedisError as error:
                if "NOGROUP" in str(error):
                    self._groups.clear()
                    if pause is not None:
                        continue
                raise BusUnavailableError(f"Redis refused ({str(error).split(' ')[0]}).") from error
        return None

    def _lane_of(self, key: str) -> int:
        return zlib.crc32(key.encode("utf-8", "surrogatepass")) % LANES

    def _stream(self, lane: int) -> str:
        return f"{self._prefix}:{lane}"

    def _lock(self, group: str, lane: int) -> str:
        return f"{self._prefix}:lock:{group}:{lane}"

    def _attempts(self, group: str, lane: int) -> str:
        return f"{self._prefix}:attempts:{group}:{lane}"

    def _dead(self, group: str) -> str:
        return f"{self._prefix}:dead:{group}"


@dataclass(frozen=True, slots=True)
class RedisDelivery:
    """An event in a reader's hands."""

    bus: RedisBus
    group: str
    number: int
    entry: bytes
    data: bytes
    event: Event
    attempt: int

    @property
    def lane(self) -> str:
        return str(self.number)

    def ack(self) -> None:
        bus = self.bus
        bus._patiently(  # noqa: SLF001 - a part of the bus
            lambda: bus._ack(  # noqa: SLF001
                keys=[
                    bus._lock(self.group, self.number),  # noqa: SLF001
                    bus._stream(self.number),  # noqa: SLF001
                    bus._attempts(self.group, self.number),  # noqa: SLF001
                ],
                args=[bus._holder, self.group, self.entry],  # noqa: SLF001
            )
        )

    def nack(self, reason: str) -> bool:
        bus = self.bus
        outcome = bus._patiently(  # noqa: SLF001 - a part of the bus
            lambda: bus._nack(  # noqa: SLF001
                keys=[
                    bus._lock(self.group, self.number),  # noqa: SLF001
                    bus._stream(self.number),  # noqa: SLF001
                    bus._attempts(self.group, self.number),  # noqa: SLF001
                    bus._dead(self.group),  # noqa: SLF001
                ],
                args=[
                    bus._holder,  # noqa: SLF001
                    self.group,
                    self.entry,
                    self.data,
                    reason,
                    bus._max_attempts,  # noqa: SLF001
                ],
            )
        )
        return bool(outcome == 1)

    def put_back(self) -> None:
        # What was received and is not ended comes again, before what came after it.
        return


def redis_bus(connection: Connection, **options: Any) -> RedisBus:
    """Make a bus of an Airflow connection of type redis.

    :raises SpecificationError: the connection says what a bus can't use.
    """
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    if connection.kind != "redis":
        raise SpecificationError(f"Connection {connection.name!r} is of no Redis.")
    known = ("db", "ssl", "ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
    extra = {k: v for k, v in connection.extra.items() if k in (*known, "ssl_check_hostname")}
    client = redis.Redis(
        host=connection.host or "localhost",
        port=connection.port or 6379,
        username=connection.login,
        password=connection.password,
        socket_timeout=10,
        socket_connect_timeout=5,
        health_check_interval=30,
        # The bus itself tries again, and says so when that is of no use.
        retry=Retry(NoBackoff(), 0),
        **{"db": int(connection.schema or 0), **extra},
    )
    return RedisBus(client, **options)


def _event_or_none(data: bytes) -> Event | None:
    try:
        return decode_event(data)
    except EventError:
        return None
