"""Builds the coordinator, runs its parts in one TaskGroup, stops them in reverse."""

import asyncio
import contextlib
import datetime
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from coordinator.adapters.alarms.prometheus import Prometheus
from coordinator.adapters.alarms.sight import Sight
from coordinator.adapters.authority import Authority, Lifetimes
from coordinator.adapters.clock import SystemClock
from coordinator.adapters.ids import RandomIds
from coordinator.adapters.notifications.telling import Remembered, Telling
from coordinator.adapters.oidc import Provider
from coordinator.adapters.sources.credentials import NoCredentials, SourceCredentials
from coordinator.api import server as api
from coordinator.api.access.entrance import peer_address
from coordinator.api.access.recording import Recorder
from coordinator.api.access.seats import Seats
from coordinator.api.access.servicers import AccessServicer, AuditServicer, Way
from coordinator.api.access.tenants import Tenants
from coordinator.api.alarms import AlarmServicer
from coordinator.api.calls import interceptors
from coordinator.api.catalog import CatalogServicer
from coordinator.api.deployments import DeploymentServicer
from coordinator.api.fleet import FleetServicer
from coordinator.api.foresight import ForesightServicer
from coordinator.api.triggers import TriggerServicer
from coordinator.app.listeners import Listeners, Secured, Servicer
from coordinator.config.settings import Address, Settings, Tls
from coordinator.core.model import DeploymentId
from coordinator.engine.loop import Engine
from coordinator.engine.ports import Clock
from coordinator.gateway.bundles import BundleProcess
from coordinator.gateway.doors import Doors
from coordinator.gateway.identity import Believed, Certified
from coordinator.gateway.lending import LendingServicer, Readers
from coordinator.gateway.listeners.tls import SERVER_FILE
from coordinator.gateway.listeners.watching import watch
from coordinator.gateway.logs import LogServicer
from coordinator.gateway.renewal import RenewalServicer
from coordinator.gateway.servicer import AgentServicer
from coordinator.gateway.streams import Streams
from coordinator.metrics import Metrics
from coordinator.service.access.audit import AuditService
from coordinator.service.access.callers import Callers
from coordinator.service.access.certificates import CertificateService
from coordinator.service.access.operators import AccessService
from coordinator.service.alarms.alarms import AlarmService
from coordinator.service.catalog import CatalogService
from coordinator.service.deployments import DeploymentService, Rooms
from coordinator.service.discovery import DiscoveryService
from coordinator.service.enrolment import Departures, EnrolmentService
from coordinator.service.fleet import FleetService
from coordinator.service.foresight.explaining import ExplainingService
from coordinator.service.foresight.foreseeing import ForesightService, Sources
from coordinator.service.logs import LogService, has_ended
from coordinator.service.ports import History
from coordinator.service.revisions import RevisionService
from coordinator.service.rollouts.newcomers import NewcomerService
from coordinator.service.rollouts.turns import TurnService
from coordinator.service.rollouts.wishes import WishService
from coordinator.service.sources.lending import LendingService
from coordinator.service.watch import WatchService
from coordinator.store.bundles import Bundles
from coordinator.store.history.retention import HistoryRetention
from coordinator.store.logs.keep import Logs, Retention
from coordinator.store.sqlite import SqliteStore
from coordinator.web.alertmanager import Webhook
from coordinator.web.app import Health, app
from coordinator.web.discovery import Discovery
from coordinator.web.server import HttpServer

log = logging.getLogger("hookline.coordinator")

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
        self._credentials = (
            NoCredentials() if settings.source_credentials is None else SourceCredentials(settings.source_credentials, clock)
        )
        self._audit = AuditService(store.audit, clock)
        lending = LendingService(self._credentials, store.fleet, self._audit, clock)
        self._readers = Readers(self.bundle_process, lending, store.fleet, clock)
        self.streams = gateway(clock=clock, spread=lambda: self.engine.reconnect_spread, tally=self.metrics.tally, bundles=self._readers)
        self._settings, self._clock, self._turns = settings, clock, TurnService(store, clock)
        self._sight = self._look_out(store)
        self.engine = Engine(store=store, agents=self.streams, clock=clock, metrics=self.metrics, alarms=self._sight, turns=self._turns)
        self._departures = Departures(self.engine, self.engine, Doors(self.streams, self.bundle_process), clock)
        self._enrolment = self._enrol(store, ids)
        identity = Believed() if self._authority is None or self._enrolment is None else Certified(self._authority.cluster, self._enrolment)
        self.agents = AgentServicer(inbox=self.engine.inbox, streams=self.streams, clock=clock, identity=identity)
        self._forgetting = HistoryRetention(store.writer, self._clock, days=settings.history_retention_days)
        self._tidy_bundles = partial(bundles.tidy, store.catalog.pushed)
        self.metrics.storage.watch(store, bundles.count)
        self._logs = self._keep_logs(store)
        self._output = LogServicer(logs=self._logs, history=store.history, clock=clock, callers=identity, tally=self.metrics.tally)
        self._newcomers = NewcomerService(store, store, self.engine, inbox=self.engine, clock=clock, ids=ids)
        self._http = self._web(DiscoveryService(store))
        self._callers = _callers(store, clock, settings)
        self._access = AccessService(store.operators, self._callers, secrets=ids, clock=clock)
        self._recorder, self._shortage, self._standing = Recorder(self._audit, clock), store.shortage, store.standing
        tenants, group_of = Tenants(clock, settings.paces), partial(_group_of, store.history)
        seats = Seats(settings.open_at_most)
        self._rules = partial(interceptors.Rules, group_of=group_of, recorder=self._recorder, tenants=tenants, seats=seats)
        self._telling = self._speak(store)
        self._services = self._serve(store, bundles, ids)
        self.metrics.watch(self.engine.overview)
        self._stop, self.ready, self._serving = asyncio.Event(), asyncio.Event(), api.TimedHealth(clock)
        self.listeners = self._call_at(pki, identity, (self._output, LendingServicer(lending, identity, peer_address)))
        """Where it is called; the ports are known once `run` has said that it is ready."""

    def _call_at(self, pki: Path, identity: Believed | Certified, beside: Sequence[Servicer]) -> Listeners:
        tls, secured = self._settings.tls, None
        if tls is not None and self._authority is not None and self._enrolment is not None and isinstance(identity, Certified):
            renewal = RenewalServicer(self._enrolment, identity, self._clock)
            secured = Secured(
                tls=tls,
                pki=pki,
                cluster=self._authority.cluster,
                enrolment=self._enrolment,
                renewal=renewal,
                callers=self._callers,
                recorder=self._recorder,
            )
        return Listeners(
            self._settings.listen,
            chain=lambda entrance: interceptors.chain(self.metrics, self._rules(entrance=entrance)),
            operators=lambda server, agents: api.register([server], self._services, self._serving, agents=agents),
            agents=self.agents,
            beside=beside,
            secured=secured,
            clock=self._clock,
        )

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
        rooms = Rooms(
            grounds=store,
            catalog=store.catalog,
            fleet=store.fleet,
            presence=engine,
            history=store.history,
            requests=store,
            looks=self._sight.looks,
        )
        revisions = RevisionService(store.catalog, bundles, clock=clock, max_bundle_bytes=self._settings.max_bundle_bytes)
        deployments = DeploymentService(rooms, inbox=engine, clock=clock, ids=ids)
        sources = Sources(groups=store, experience=store.history, fleet=store.fleet, presence=engine)
        foresight = ForesightService(deployments, sources, clock=clock)
        targets, revised = self._telling.targets, self._newcomers.look_again
        return api.Operators(
            catalog=CatalogServicer(
                CatalogService(store.catalog, bundles, clock=clock, ids=ids, targets=targets, revised=revised), revisions
            ),
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
                enrol_address=lambda: str(self.listeners.machines),
            ),
            access=AccessServicer(
                self._access,
                CertificateService(store.certificates, store.operators, self._callers, authority=self._authority, clock=clock),
                Way(
                    fingerprint="" if self._authority is None else self._authority.fingerprint,
                    tokens=lambda: str(self.listeners.operators or ""),
                    certificates=lambda: str(self.listeners.certified or ""),
                ),
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
            first |= {"output": self._output.run()}
            running = [parts.create_task(run, name=name) for name, run in first.items()]
            serving = asyncio.Event()
            running.append(parts.create_task(self.bundle_process.run(serving), name="bundles"))
            await self.engine.started.wait()
            await self._tidy_bundles()
            self.metrics.committed.outcomes.stand(await self._standing())
            await serving.wait()
            self.streams.bundle_address = f":{self.bundle_process.address.port}"
            await self.listeners.open()
            then = {"audit": self._audit.run(), "departures": self._departures.run(), "retention": self._forgetting.run()}
            then |= {"certificates": self._look_after_certificates(), "notifications": self._telling.run()}
            then |= {"sources": self._credentials.check()}
            then |= {"newcomers": self._newcomers.run(self.engine.come)}
            then |= {"turns": self._turns.run(self.engine, self.engine, spread=self.engine.reconnect_spread)}
            running += [parts.create_task(run, name=name) for name, run in then.items()]
            here = [self.listeners.agents, self.bundle_process.address]
            watching = parts.create_task(watch(here, self._clock, self.listeners.again), name="watching")
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
            await self.listeners.stop(GRACE)
            self.metrics.lag.stop()
            self._http.stop()
            await http
            for task in reversed(running):
                task.cancel()

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
        return f"listen={self.listeners.agents} http={http} bundles={self.bundle_process.address}{self.listeners.beside_agents}"


async def _group_of(history: History, deployment_id: str) -> tuple[str, str]:
    plan = (await history.deployment(DeploymentId(deployment_id))).plan
    return plan.application_name, plan.group_name


def _callers(store: SqliteStore, clock: Clock, settings: Settings) -> Callers:
    oidc = None if settings.tls is None else settings.tls.oidc
    return Callers(store.operators, store.certificates, clock=clock, provider=None if oidc is None else Provider(oidc, clock))


def _authority(pki: Path, clock: Clock, tls: Tls) -> Authority:
    lifetimes = Lifetimes(agent=datetime.timedelta(seconds=tls.agent_lifetime))
    return Authority.open(pki, clock, names=tls.names, cluster=tls.cluster, lifetimes=lifetimes)


def _tell(trouble: str) -> None:
    if trouble:
        log.warning("certificates need an operator why=%r", trouble)
