"""The one file that knows everybody: builds the coordinator, runs its parts in one TaskGroup, stops them in reverse."""

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import grpc.aio

from coordinator.adapters.alarms.prometheus import Prometheus
from coordinator.adapters.alarms.sight import Sight
from coordinator.adapters.authority import Authority, Lifetimes
from coordinator.adapters.clock import SystemClock
from coordinator.adapters.ids import RandomIds
from coordinator.adapters.notifications.telling import Remembered, Telling
from coordinator.adapters.oidc import Provider
from coordinator.adapters.sources.credentials import NoCredentials, SourceCredentials
from coordinator.api import interceptors
from coordinator.api import server as api
from coordinator.api.access.entrance import Bearer, Entrance, Same
from coordinator.api.access.rates import Paced, Rates
from coordinator.api.access.recording import Recorder
from coordinator.api.access.servicers import AccessServicer, AuditServicer
from coordinator.api.access.tenants import Tenants
from coordinator.api.alarms import AlarmServicer
from coordinator.api.catalog import CatalogServicer
from coordinator.api.deployments import DeploymentServicer
from coordinator.api.fleet import EnrolmentServicer, FleetServicer
from coordinator.api.foresight import ForesightServicer
from coordinator.api.principal import AGENT, LOCAL, MACHINE
from coordinator.api.triggers import TriggerServicer
from coordinator.config.settings import Address, Settings, Tls
from coordinator.core.model import DeploymentId
from coordinator.engine.loop import Engine
from coordinator.engine.ports import Clock
from coordinator.gateway.bundles import BundleProcess
from coordinator.gateway.doors import Doors
from coordinator.gateway.identity import Believed, Certified
from coordinator.gateway.lending import LendingServicer, Readers
from coordinator.gateway.listeners.server import make_server
from coordinator.gateway.listeners.tls import SERVER_FILE, PairFile, agents_credentials, open_credentials
from coordinator.gateway.listeners.watching import Listener, watch
from coordinator.gateway.logs import LogServicer
from coordinator.gateway.renewal import RenewalServicer
from coordinator.gateway.servicer import AgentServicer
from coordinator.gateway.streams import Streams
from coordinator.metrics import Metrics
from coordinator.service.access.audit import AuditService
from coordinator.service.access.operators import AccessService
from coordinator.service.alarms import AlarmService
from coordinator.service.catalog import CatalogService
from coordinator.service.deployments import DeploymentService, Rooms
from coordinator.service.discovery import DiscoveryService
from coordinator.service.enrolment import Departures, EnrolmentService
from coordinator.service.fleet import FleetService
from coordinator.service.foresight.explaining import ExplainingService
from coordinator.service.foresight.foreseeing import ForesightService, Sources
from coordinator.service.logs import LogService, has_ended
from coordinator.service.newcomers import NewcomerService
from coordinator.service.ports import History
from coordinator.service.revisions import RevisionService
from coordinator.service.rollouts.wishes import WishService
from coordinator.service.sources.lending import LendingService
from coordinator.service.turns import TurnService
from coordinator.service.watch import WatchService
from coordinator.store.bundles import Bundles
from coordinator.store.history.retention import HistoryRetention
from coordinator.store.logs.keep import Logs, Retention
from coordinator.store.sqlite import SqliteStore
from coordinator.web.alertmanager import Webhook
from coordinator.web.app import Health, app
from coordinator.web.discovery import Discovery
from coordinator.web.server import HttpServer
from hookline.v1.fleet_pb2_grpc import add_EnrolmentServiceServicer_to_server

log = logging.getLogger("hookline.coordinator")

SERVER_OPTIONS: Final = (
    # Without ping_timeout_ms a frozen peer is noticed a minute later than the other two promise.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.server_handshake_timeout_ms", 10_000),
    # Two coordinators on one port would each get half of the agents.
    ("grpc.so_reuseport", 0),
)

AGENT_OPTIONS: Final = (
    # An agent opens its stream, its output and, once a day, a renewal; while it changes connections it may hold two streams.
    ("grpc.max_concurrent_streams", 4),
    # Who was shut out, or whose certificate has ended, is found out at the latest when the connection has this age.
    ("grpc.max_connection_age_ms", 3_600_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
    # What goes to an agent is small: gRPC would keep 16 KiB to encrypt it in, for each connection.
    ("grpc.tsi.max_frame_size", 2_048),
)

MACHINES: Final = {"per_second": 20, "burst": 100}
OPERATORS: Final = {"per_second": 50, "burst": 200}
"""Calls from each address, where calls may come from strangers. A rack of machines may wait for its approval behind one address."""

LOOK_AFTER_CERTIFICATES_EVERY: Final = 600_000
"""Milliseconds."""

GRACE: Final = 2.0
"""Seconds that open calls have when the coordinator stops."""

COME_BACK_AFTER: Final = 1_000
"""Milliseconds after which agents come back when the coordinator stops in an orderly way."""


class Coordinator:
    """Everything, wired. `run` serves until `stop`."""

    def __init__(self, settings: Settings, store: SqliteStore, *, gateway: type[Streams] = Streams) -> None:
        """`store` is open; it is the caller's to close. Benchmarks watch the streams with a `gateway` of their own."""
        self.metrics = Metrics(names=settings.metrics_names)
        clock, ids = SystemClock(), RandomIds()
        bundles = Bundles(settings.data_dir / "bundles")
        pki = settings.data_dir / "pki"
        tls = settings.tls
        self._authority = None if tls is None else _authority(pki, clock, tls)
        self.bundle_process = BundleProcess(
            directory=bundles.directory,
            listen=settings.bundle_listen,
            clock=clock,
            tls=None if self._authority is None else (pki, self._authority.cluster),
        )
        credentials = NoCredentials() if settings.source_credentials is None else SourceCredentials(settings.source_credentials, clock)
        lending = LendingService(credentials, store.fleet)
        self._readers = Readers(self.bundle_process, lending, store.fleet, clock)
        self.streams = gateway(clock=clock, spread=lambda: self.engine.reconnect_spread, tally=self.metrics.tally, bundles=self._readers)
        self._settings, self._clock, self._turns = settings, clock, TurnService(store, clock)
        self._sight = self._look_out(store)
        self.engine = Engine(store=store, agents=self.streams, clock=clock, metrics=self.metrics, alarms=self._sight, turns=self._turns)
        self._departures = Departures(self.engine, self.engine, Doors(self.streams, self.bundle_process), clock)
        self._enrolment = self._enrol(store, ids)
        self._identity = None if self._authority is None or self._enrolment is None else Certified(self._authority.cluster, self._enrolment)
        identity = self._identity or Believed()
        self.agents = AgentServicer(inbox=self.engine.inbox, streams=self.streams, clock=clock, identity=identity)
        self._forgetting = HistoryRetention(store.writer, self._clock, days=settings.history_retention_days)
        self._tidy_bundles = partial(bundles.tidy, store.catalog.pushed)
        self.metrics.storage.watch(store, bundles.count)
        self._logs = self._keep_logs(store)
        self._publishing = LogServicer(logs=self._logs, history=store.history, clock=clock, callers=identity, tally=self.metrics.tally)
        self._lending = LendingServicer(lending, identity)
        self._newcomers = NewcomerService(store, store, self.engine, inbox=self.engine, clock=clock, ids=ids)
        self._http = self._web(DiscoveryService(store))
        self._access, self._audit = _access(store, ids, clock, settings), AuditService(store.audit, clock)
        self._recorder, self._shortage, self._standing = Recorder(self._audit, clock), store.shortage, store.standing
        tenants, group_of = Tenants(clock, settings.paces), partial(_group_of, store.history)
        self._rules = partial(interceptors.Rules, group_of=group_of, recorder=self._recorder, tenants=tenants)
        self._telling = self._speak(store)
        self._services = self._serve(store, bundles, ids)
        self.metrics.watch(self.engine.overview)
        self._stop, self.ready, self._serving = asyncio.Event(), asyncio.Event(), api.TimedHealth(clock)
        self.listen = settings.listen
        """Where it listens; the port is known once `run` has said that it is ready."""
        self.enrol_listen = tls.enrol_listen if tls is not None else None
        self.operator_listen = tls.operator_listen if tls is not None else None

    def _enrol(self, store: SqliteStore, ids: RandomIds) -> EnrolmentService | None:
        tls = self._settings.tls
        if self._authority is None or tls is None:
            return None
        return EnrolmentService(
            store.enrolments,
            store.catalog,
            authority=self._authority,
            secrets=ids,
            clock=self._clock,
            departures=self._departures,
            readmit_within=tls.readmit_within * 1000,
        )

    def _serve(self, store: SqliteStore, bundles: Bundles, ids: RandomIds) -> api.Operators:
        """What operators may ask for."""
        clock, engine = self._clock, self.engine
        rooms = Rooms(grounds=store, fleet=store.fleet, presence=engine, history=store.history, requests=store)
        revisions = RevisionService(store.catalog, bundles, clock=clock, max_bundle_bytes=self._settings.max_bundle_bytes)
        deployments = DeploymentService(rooms, inbox=engine, clock=clock, ids=ids)
        sources = Sources(groups=store, experience=store.history, fleet=store.fleet, presence=engine)
        foresight = ForesightService(deployments, sources, clock=clock)
        return api.Operators(
            catalog=CatalogServicer(CatalogService(store.catalog, bundles, clock=clock, ids=ids, targets=self._telling.targets), revisions),
            deployments=DeploymentServicer(
                deployments,
                WishService(rooms.history, rooms.requests, inbox=engine, clock=clock),
                WatchService(store.history, engine, clock=clock),
                LogService(self._logs, store.history, clock=clock),
                foresight,
            ),
            foresight=ForesightServicer(foresight, ExplainingService(engine, store.history, store.fleet, clock=clock)),
            alarms=AlarmServicer(AlarmService(store.alarms, self._sight.looks, clock=clock)),
            triggers=TriggerServicer(self._telling.trials),
            fleet=FleetServicer(
                FleetService(store.fleet, store, inbox=engine, clock=clock, come=engine.come, bounded=self._readers.look_again),
                self._enrolment,
                enrol_address=lambda: str(self.enrol_listen),
            ),
            access=AccessServicer(
                self._access,
                fingerprint="" if self._authority is None else self._authority.fingerprint,
                address=lambda: str(self.operator_listen or ""),
            ),
            audit=AuditServicer(self._audit),
        )

    def _look_out(self, store: SqliteStore) -> Sight:
        settings = self._settings
        prometheus = Prometheus.at(settings.prometheus, settings.prometheus_token) if settings.prometheus else None
        return Sight(prometheus, store.alerts, self._clock, put=lambda seen: self.engine.inbox.put(seen), metrics=self.metrics)

    def _speak(self, store: SqliteStore) -> Telling:
        settings, rooms = self._settings, Remembered(store.outbox, store.history, store.catalog)
        cluster = "" if settings.tls is None else settings.tls.cluster
        return Telling(settings.notifications, rooms, self._clock, cluster=cluster, metrics=self.metrics)

    def _keep_logs(self, store: SqliteStore) -> Logs:
        settings = self._settings
        retention = Retention(days=settings.log_retention_days, max_bytes=settings.log_max_bytes)
        return Logs(settings.data_dir / "logs", retention=retention, clock=self._clock, ended=partial(has_ended, store.history))

    def _web(self, hosts: DiscoveryService) -> HttpServer:
        settings = self._settings
        webhook = Webhook(self._sight.alerts.receive, settings.alertmanager_token, self._clock, self.metrics.alerts_received)
        discovery = Discovery(hosts, settings.metrics_token)
        pages = app(self.metrics, self._health, webhook if settings.alertmanager_token else None, settings.metrics_token, discovery)
        chain = settings.data_dir / "pki" / SERVER_FILE if settings.http_tls else None
        return HttpServer(pages, host=settings.http_listen.host, port=settings.http_listen.port, chain=chain)

    def stop(self) -> None:
        """Let `run` come to its end."""
        self._stop.set()

    async def run(self) -> None:
        """Serve until `stop`. Raises OSError when an address is in use, Unusable for an authority that cannot be."""
        if self._authority is not None:
            _tell(self._authority.renew())
        async with asyncio.TaskGroup() as parts:
            http = parts.create_task(self._http.serve(), name="http")
            engine, sight, streams, readers, logs = self.engine, self._sight, self.streams, self._readers, self._logs
            first = {"engine": engine.run(), "alarms": sight.run(), "streams": streams.run(), "readers": readers.run(), "logs": logs.run()}
            running = [parts.create_task(run, name=name) for name, run in first.items()]
            serving = asyncio.Event()
            running.append(parts.create_task(self.bundle_process.run(serving), name="bundles"))
            await self.engine.started.wait()
            await self._tidy_bundles()
            self.metrics.committed.outcomes.stand(await self._standing())
            await serving.wait()
            self.streams.bundle_address = f":{self.bundle_process.address.port}"
            servers = await self._open()
            then = {"audit": self._audit.run(), "departures": self._departures.run(), "retention": self._forgetting.run()}
            then |= {"certificates": self._look_after_certificates(), "notifications": self._telling.run()}
            then |= {"newcomers": self._newcomers.run(self.engine.come)}
            then |= {"turns": self._turns.run(self.engine, self.engine, spread=self.engine.reconnect_spread)}
            running += [parts.create_task(run, name=name) for name, run in then.items()]
            again = [server for server in servers if isinstance(server, Listener)]
            watching = parts.create_task(watch([self.listen, self.bundle_process.address], self._clock, again), name="watching")
            await api.tell_serving(self._serving)
            self.metrics.lag.start()
            self.ready.set()
            await self._stop.wait()
            log.info("stopping")
            watching.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE):
                    await self._serving.enter_graceful_shutdown()
            self.streams.drain_all(COME_BACK_AFTER, "the coordinator stops")
            await asyncio.gather(*(server.stop(GRACE) for server in servers))
            self.metrics.lag.stop()
            self._http.stop()
            await http
            for task in reversed(running):
                task.cancel()

    async def _open(self) -> list[grpc.aio.Server | Listener]:
        """Serve: over plaintext everybody on one listener, with TLS each kind of caller on its own."""
        tls, authority, enrolment, identity = self._settings.tls, self._authority, self._enrolment, self._identity
        if tls is None or authority is None or enrolment is None or identity is None:
            server = self._server(Same(LOCAL))
            self._serve_operators(server, self.agents)
            self._publishing.register(server)
            self._lending.register(server)
            self.listen = Address(self.listen.host, server.add_insecure_port(str(self.listen)))
            await server.start()
            return [server]
        await enrolment.start()
        pairs = PairFile(self._settings.data_dir / "pki")
        agents, admin = self._server(Same(AGENT), *AGENT_OPTIONS), self._server(Same(LOCAL))
        for servicer in (self.agents, self._publishing, self._lending, RenewalServicer(enrolment, identity, self._clock)):
            servicer.register(agents)
        self.listen = Address(self.listen.host, agents.add_secure_port(str(self.listen), agents_credentials(pairs)))
        self._serve_operators(admin)
        admin.add_insecure_port(f"unix:{tls.admin_socket}")
        tls.admin_socket.chmod(0o600)
        enrolling = EnrolmentServicer(enrolment, agent_address=lambda: f":{self.listen.port}", recorder=self._recorder)
        serve_machines = partial(add_EnrolmentServiceServicer_to_server, enrolling)
        strangers = Paced(Same(MACHINE), Rates(self._clock, **MACHINES))
        machines = Listener(tls.enrol_listen, partial(self._open_to_strangers, pairs, strangers, serve_machines))
        tokens = Paced(Bearer(self._access), Rates(self._clock, **OPERATORS))
        operators = Listener(tls.operator_listen, partial(self._open_to_strangers, pairs, tokens, self._serve_operators))
        servers: list[grpc.aio.Server | Listener] = [agents, admin, machines, operators]
        for each in servers:
            await each.start()
        self.enrol_listen, self.operator_listen = machines.address, operators.address
        return servers

    def _open_to_strangers(
        self, pairs: PairFile, entrance: Entrance, serve: Callable[[grpc.aio.Server], None], address: Address
    ) -> tuple[grpc.aio.Server, int]:
        """A server without client certificates; `serve` puts the services on it."""
        server = self._server(entrance)
        serve(server)
        return server, server.add_secure_port(str(address), open_credentials(pairs))

    def _server(self, entrance: Entrance, *options: tuple[str, int]) -> grpc.aio.Server:
        chain = interceptors.chain(self.metrics, self._rules(entrance=entrance))
        return make_server(interceptors=chain, options=(*SERVER_OPTIONS, *options))

    def _serve_operators(self, server: grpc.aio.Server, agents: AgentServicer | None = None) -> None:
        api.register([server], self._services, self._serving, agents=agents)

    async def _look_after_certificates(self) -> None:
        """Renew the coordinator's own in time, until cancelled."""
        while self._authority is not None:
            await self._clock.sleep(LOOK_AFTER_CERTIFICATES_EVERY)
            _tell(await asyncio.to_thread(self._authority.renew))
            self._http.show_again()

    def _health(self) -> Health:
        trouble = self.engine.trouble or self._shortage()
        return Health(serving=not trouble, committed=self.engine.committed, store=trouble or "ok")

    @property
    def addresses(self) -> str:
        """Where everything is served, for whoever started the program; right once `ready` is set."""
        http = Address(self._settings.http_listen.host, self._http.port)
        said = f"listen={self.listen} http={http} bundles={self.bundle_process.address}"
        tls = self._settings.tls
        return said if tls is None else f"{said} operators={self.operator_listen} enrol={self.enrol_listen} admin={tls.admin_socket}"


async def _group_of(history: History, deployment_id: str) -> tuple[str, str]:
    plan = (await history.deployment(DeploymentId(deployment_id))).plan
    return plan.application_name, plan.group_name


def _access(store: SqliteStore, ids: RandomIds, clock: Clock, settings: Settings) -> AccessService:
    oidc = None if settings.tls is None else settings.tls.oidc
    return AccessService(store.operators, secrets=ids, clock=clock, provider=None if oidc is None else Provider(oidc, clock))


def _authority(pki: Path, clock: Clock, tls: Tls) -> Authority:
    lifetimes = Lifetimes(agent=datetime.timedelta(seconds=tls.agent_lifetime))
    return Authority.open(pki, clock, names=tls.names, cluster=tls.cluster, lifetimes=lifetimes)


def _tell(trouble: str) -> None:
    if trouble:
        log.warning("certificates need an operator why=%r", trouble)
