"""Real brokers, each a process with a folder of its own, that tests kill, stop and start again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import confluent_kafka
import nats
import pika
import redis
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from tests.backends.emulators import Announcing, free_port, need
from tests.serving.conftest import make_certificate
from tests.stopping import stop

USER, PASSWORD = "bleepstore", "a-secret-of-tests"


class Broker:
    """Started when it is made. What is created in it is durable."""

    scheme: str
    announces: str
    #: Whether an unknown queue, topic or subject is refused: a Redis stream begins with its first entry.
    refuses_unknown = True
    #: Seconds in which a message gets there, on a busy machine too.
    quick = 0.4

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.tls_port = free_port(), free_port()
        #: It takes connections by TLS too, with this certificate; its key is beside it.
        self.certificate = folder / "server.pem"
        make_certificate(self.certificate)
        self.prepare()
        self.start()

    def prepare(self) -> None:
        """Write what configures it."""

    def command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def start(self) -> None:
        self._running = Announcing(self.command(), self.announces, self.folder / "log.txt", self.environment())

    def kill(self) -> None:
        """As kill -9 does."""
        self._running.process.send_signal(signal.SIGCONT)
        self._running.kill()

    def end(self) -> None:
        self.kill()

    def freeze(self) -> None:
        """It has the port and its connections, and does not answer."""
        stop(self._running.process.pid)

    def thaw(self) -> None:
        self._running.process.send_signal(signal.SIGCONT)

    def url(self, name: str, timeout: float = 10, user: str = f"{USER}:{PASSWORD}") -> str:
        """Where a sender finds what has this name."""
        raise NotImplementedError

    def tls_url(self, name: str, timeout: float = 10) -> str:
        """By TLS, and by the name `localhost`, which its certificate is for."""
        plain = self.url(name, timeout).replace(f"127.0.0.1:{self.port}", f"localhost:{self.tls_port}")
        return plain.replace("://", "s://", 1)

    @contextlib.contextmanager
    def with_tls(self) -> Iterator[Broker]:
        """What has a `tls_url`."""
        yield self

    @property
    def key(self) -> Path:
        return self.certificate.with_suffix(".key")

    def create(self, name: str, limit: int | None = None) -> None:
        """A queue, that takes so many messages and refuses more."""
        raise NotImplementedError

    def read(self, name: str) -> list[bytes]:
        """The bodies of all messages, in their order; if there was a limit, there is space again."""
        raise NotImplementedError


class Redis(Broker):
    scheme = "redis"
    announces = r"(Ready to accept connections)"
    refuses_unknown = False

    def command(self) -> Sequence[str | Path]:
        options = {
            "port": self.port, "bind": "127.0.0.1", "dir": self.folder, "appendonly": "yes", "appendfsync": "always",
            "save": "", "requirepass": PASSWORD, "tls-port": self.tls_port, "tls-cert-file": self.certificate,
            "tls-key-file": self.key, "tls-auth-clients": "no", "repl-diskless-sync-delay": 0,
        }  # fmt: skip
        return [need("redis"), *(part for name, value in options.items() for part in (f"--{name}", str(value)))]

    def environment(self) -> dict[str, str]:
        return os.environ | {"LD_LIBRARY_PATH": str(need("redis").parents[1] / "lib" / "x86_64-linux-gnu")}

    def url(self, name: str, timeout: float = 10, user: str = f":{PASSWORD}") -> str:
        return f"redis://{user}@127.0.0.1:{self.port}?stream={name}&timeout={timeout}"

    def client(self) -> Any:
        return redis.Redis(port=self.port, password=PASSWORD)

    def create(self, name: str, limit: int | None = None) -> None:
        if limit is not None:
            with self.client() as client:
                client.config_set("maxmemory", client.info("memory")["used_memory"] + limit * 1000)

    def read(self, name: str) -> list[bytes]:
        with self.client() as client:
            client.config_set("maxmemory", 0)
            return [fields[b"event"] for _, fields in client.xrange(name)]


class RabbitMq(Broker):
    scheme = "amqp"
    announces = r"(Server startup complete)"

    def prepare(self) -> None:
        self.root = next(parent for parent in need("rabbitmq").parents if parent.name == "usr").parent
        erlang = self.root / "usr" / "lib" / "erlang"
        binaries = next(erlang.glob("erts-*")) / "bin"
        # Debian's own script has /usr/lib/erlang written in it.
        (self.folder / "bin").mkdir()
        script = self.folder / "bin" / "erl"
        script.write_text(
            "#!/bin/sh\n"
            f"export ROOTDIR={erlang} BINDIR={binaries} EMU=beam PROGNAME=erl\n"
            f'exec {binaries}/erlexec "$@"\n'
        )
        script.chmod(0o755)
        self.epmd_port = free_port()
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlisteners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.certfile = {self.certificate}\nssl_options.keyfile = {self.key}\n"
            f"default_user = {USER}\ndefault_pass = {PASSWORD}\nlog.console = true\nlog.file = false\n"
        )
        epmd: list[str | Path] = [binaries / "epmd", "-d", "-port", str(self.epmd_port), "-address", "127.0.0.1"]
        self._epmd = Announcing(epmd, r"(epmd running)", self.folder / "epmd.txt")

    def command(self) -> Sequence[str | Path]:
        return [need("rabbitmq")]

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "detached": "true",  # its script becomes the server, and does not wait for it
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": "tests@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
        }

    def end(self) -> None:
        self.kill()
        self._epmd.kill()

    def url(self, name: str, timeout: float = 10, user: str = f"{USER}:{PASSWORD}") -> str:
        return f"amqp://{user}@127.0.0.1:{self.port}?queue={name}&timeout={timeout}"

    def with_channel(self, use: Callable[[Any], Any]) -> Any:
        parameters = pika.ConnectionParameters(
            "127.0.0.1", self.port, credentials=pika.PlainCredentials(USER, PASSWORD)
        )
        connection = pika.BlockingConnection(parameters)
        try:
            return use(connection.channel())
        finally:
            connection.close()

    def create(self, name: str, limit: int | None = None) -> None:
        arguments = {} if limit is None else {"x-max-length": limit, "x-overflow": "reject-publish"}
        self.with_channel(lambda channel: channel.queue_declare(name, durable=True, arguments=arguments))

    def read(self, name: str) -> list[bytes]:
        def read(channel: Any) -> list[bytes]:
            return [body for _, _, body in iter(lambda: channel.basic_get(name, auto_ack=True), (None, None, None))]

        found: list[bytes] = self.with_channel(read)
        return found


class Nats(Broker):
    scheme = "nats"
    announces = r"(Server is ready)"

    def prepare(self) -> None:
        (self.folder / "nats.conf").write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{ store_dir: "{self.folder / "data"}" }}\n'
            f"authorization {{ user: {USER}, password: {PASSWORD} }}\n"
            f"{self.tls}\n"
        )

    @property
    def tls(self) -> str:
        return ""

    def command(self) -> Sequence[str | Path]:
        return [need("nats"), "-c", self.folder / "nats.conf"]

    def url(self, name: str, timeout: float = 10, user: str = f"{USER}:{PASSWORD}") -> str:
        return f"nats://{user}@127.0.0.1:{self.port}/{name}.events?timeout={timeout}"

    def tls_url(self, name: str, timeout: float = 10) -> str:
        return self.url(name, timeout).replace("nats://", "natss://").replace("127.0.0.1", "localhost")

    @contextlib.contextmanager
    def with_tls(self) -> Iterator[Broker]:
        """Another one: its port is for both."""
        (self.folder / "tls").mkdir()
        broker = NatsWithTls(self.folder / "tls")
        try:
            yield broker
        finally:
            broker.end()

    def client_options(self) -> dict[str, Any]:
        return {}

    def _with_client(self, use: Callable[[Any], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            options = self.client_options()
            client = await nats.connect(f"nats://localhost:{self.port}", user=USER, password=PASSWORD, **options)
            try:
                return await use(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(run())

    def create(self, name: str, limit: int | None = None) -> None:
        options: dict[str, Any] = {} if limit is None else {"max_msgs": limit, "discard": "new"}
        self._with_client(lambda stream: stream.add_stream(name=name, subjects=[f"{name}.*"], **options))

    def read(self, name: str) -> list[bytes]:
        async def read(stream: Any) -> list[bytes]:
            state = (await stream.stream_info(name)).state
            found = [await stream.get_msg(name, seq) for seq in range(state.first_seq, state.last_seq + 1)]
            await stream.purge_stream(name)
            return [message.data for message in found]

        found: list[bytes] = self._with_client(read)
        return found


class NatsWithTls(Nats):
    @property
    def tls(self) -> str:
        return f'tls {{ cert_file: "{self.certificate}", key_file: "{self.key}" }}'

    def client_options(self) -> dict[str, Any]:
        return {"tls": ssl.create_default_context(cafile=str(self.certificate))}


class Kafka(Broker):
    scheme = "kafka"
    announces = r"(Kafka Server started)"
    quick = 3.0

    def prepare(self) -> None:
        controller, inner = free_port(), free_port()
        listeners = (
            f"SASL_PLAINTEXT://127.0.0.1:{self.port},SASL_SSL://localhost:{self.tls_port},INNER://127.0.0.1:{inner}"
        )
        chain = self.folder / "chain.pem"
        chain.write_bytes(self.key.read_bytes() + self.certificate.read_bytes())
        module = "org.apache.kafka.common.security.plain.PlainLoginModule"
        users = f'{module} required user_{USER}="{PASSWORD}";'
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": listeners,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "INNER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,INNER:PLAINTEXT,"
            "SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": f"{chain}",
            "sasl.enabled.mechanisms": "PLAIN",
            **{f"listener.name.{name}.plain.sasl.jaas.config": users for name in ("sasl_plaintext", "sasl_ssl")},
            "log.dirs": f"{self.folder / 'data'}",
            "offsets.topic.replication.factor": "1",
            "auto.create.topics.enable": "false",
            # After a crash it joins again when the controller no longer believes that it is there.
            "broker.session.timeout.ms": "1000",
            "broker.heartbeat.interval.ms": "200",
        }
        configuration = self.folder / "server.properties"
        configuration.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        format_it = self._java("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", configuration)
        subprocess.run(format_it, check=True, capture_output=True, timeout=60)

    def _java(self, *command: str | Path) -> Sequence[str | Path]:
        return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{need('kafka')}/*", *command]

    def command(self) -> Sequence[str | Path]:
        return self._java("kafka.Kafka", self.folder / "server.properties")

    def url(self, name: str, timeout: float = 10, user: str = f"{USER}:{PASSWORD}") -> str:
        return f"kafka://{user}@127.0.0.1:{self.port}/{name}?timeout={timeout}"

    def client_settings(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": f"127.0.0.1:{self.port}",
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": USER,
            "sasl.password": PASSWORD,
        }

    def create(self, name: str, limit: int | None = None) -> None:
        admin = AdminClient(self.client_settings())
        topic = NewTopic(name, num_partitions=2, replication_factor=1)
        admin.create_topics([topic])[name].result(30)
        while admin.list_topics(name, timeout=30).topics[name].error is not None:
            """The broker has not read of it yet."""

    def read(self, name: str) -> list[bytes]:
        consumer = confluent_kafka.Consumer(
            self.client_settings()
            | {
                "group.id": "tests",
                "enable.auto.commit": "false",
                "enable.partition.eof": "true",
                "auto.offset.reset": "earliest",
            }
        )
        try:
            consumer.assign([confluent_kafka.TopicPartition(name, number, 0) for number in (0, 1)])
            found, ended = [], 0
            while ended < 2:
                message = consumer.poll(30)
                assert message is not None
                error = message.error()
                if error is None:
                    found.append(message.value() or b"")
                else:
                    assert error.code() == confluent_kafka.KafkaError._PARTITION_EOF, error
                    ended += 1
            return found
        finally:
            consumer.close()


BROKERS: dict[str, type[Broker]] = {"redis": Redis, "rabbitmq": RabbitMq, "nats": Nats, "kafka": Kafka}
