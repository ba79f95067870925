"""A real Kafka broker for tests: Apache Kafka in one process, which keeps its log when killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

__all__ = ["KafkaServer"]

_SETTINGS = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
# A restart within a test must not wait until the broker's own session has run out.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


class KafkaServer:
    """Started by `start`, again after `kill`, over the same data."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.controller = _free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = folder / "server.properties"
        self._settings.write_text(
            _SETTINGS.format(port=self.port, controller=self.controller, folder=folder)
        )
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self._java(
            "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._settings)
        ).wait()

    @staticmethod
    def libs() -> Path:
        named = os.environ.get("ETL_TEST_KAFKA_LIBS")
        return Path(named) if named else Path(__file__).parents[1] / ".kafka" / "libs"

    @classmethod
    def is_there(cls) -> bool:
        return shutil.which("java") is not None and any(cls.libs().glob("kafka_*.jar"))

    @property
    def options(self) -> dict[str, list[str]]:
        """Of kafka-python's clients."""
        return {"bootstrap_servers": [f"127.0.0.1:{self.port}"]}

    def start(self) -> None:
        self._process = self._java("kafka.Kafka", str(self._settings))
        until = time.monotonic() + 60
        while not self._serves():
            if time.monotonic() > until or self._process.poll() is not None:
                raise RuntimeError((self.folder / "broker.log").read_text()[-2000:])
            time.sleep(0.1)

    def kill(self) -> None:
        """At once, as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def _serves(self) -> bool:
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
            admin = KafkaAdminClient(**self.options, bootstrap_timeout_ms=3000)
        except (OSError, KafkaError):
            return False
        try:
            admin.list_topics()
        except KafkaError:
            return False
        finally:
            admin.close()
        return True

    def _java(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / "broker.log").open("ab") as log:
            return subprocess.Popen(
                ["java", "-Xmx384m", "-XX:+UseSerialGC", "-cp", f"{self.libs()}/*", *words],
                stdout=log,
                stderr=log,
            )


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for free in held:
            free.bind(("127.0.0.1", 0))
        return [int(free.getsockname()[1]) for free in held]
    finally:
        for free in held:
            free.close()
