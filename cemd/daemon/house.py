"""The house: everything that `cemd run` is, built once, in order, and ended in the opposite order.

Start: files, store, core (recovered from snapshot, rows and log), edges, page, prober, ticks. Stop: producers first,
then the core finishes what it was given and saves a snapshot, then the edges, the store last. A fault of the core ends
the process: whatever must survive is written already, and the service manager starts it anew.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, disable_created_metrics

from cemd import __version__
from cemd.config.settings import Settings
from cemd.config.topology import Topology
from cemd.daemon import reload
from cemd.daemon.doors import Doors
from cemd.daemon.edges import Edges
from cemd.daemon.epochs import Epochs
from cemd.daemon.kinds import kinds
from cemd.daemon.machine import make_for_next_start, speed_up
from cemd.daemon.mending import Mending, of_channel, of_pushed, of_views
from cemd.daemon.metrics import watch_daemon
from cemd.daemon.news import News
from cemd.daemon.outlet import Outlet
from cemd.daemon.places import Places, made, places
from cemd.daemon.prober_process import ProberProcess
from cemd.daemon.published import Published
from cemd.daemon.stopwatch import Stopwatch
from cemd.errors import CemdError, ConfigError, Fault, StoreError, StoreUnavailable, UnwritableChange
from cemd.improve import stage as improve
from cemd.kit.clock import SystemClock
from cemd.kit.heap import settle
from cemd.kit.logs import set_up_logs
from cemd.kit.sdnotify import patient_notifier, watchdog_seconds
from cemd.kit.secrets import secret_path
from cemd.kit.tasks import keep_running
from cemd.kit.words import counted
from cemd.loop.core import Core
from cemd.loop.sequencer import Rhythm, Sequencer
from cemd.model.effect import Effects
from cemd.model.entry import Command, CommandKind, Entry, SeriesAdded, Started
from cemd.report.view import view as report_view
from cemd.store.backup import is_restored, release_restored
from cemd.store.sqlite import SqliteStore, open_store
from cemd.store.upkeep import Upkeep
from cemd.web.house import ToMend
from cemd.web.server import WebServer

EXIT_CONFIG = 78
EXIT_STORE = 74
"""sysexits.h: the unit does not start again by itself after these, because it would fail the same way."""
EXIT_STORE_LATER = 75
"""sysexits.h, a failure that passes: the disk is full or the state is locked; the unit tries again, slowly."""
GRACE_SECONDS = 20.0
HEAP_SECONDS = 1.0
MANY_SERIES = 2_000
"""So many new ones are worth taking out of the collector's sight."""
UPKEEP_SECONDS = 30.0
UPKEEP_BUSY_SECONDS = 1.0
SWITCH_SECONDS = 0.001
"""After so long another thread may have the interpreter: of the five milliseconds that are usual, the loop would wait
two turns where the core and the exposition work beside it."""

log = structlog.get_logger("cemd")


def run_house(root: Path, *, state: Path | None, with_prober: bool, port: int | None, log_json: bool | None) -> int:
    """Runs the daemon until it is told to stop; returns the exit code."""
    json_lines = not sys.stderr.isatty() if log_json is None else log_json
    set_up_logs(json_lines=json_lines)
    try:
        root = root.resolve()
        _enter(root)
        settings = reload.settings_to_start_with(root, kinds(), state)
        set_up_logs(json_lines=json_lines, lines_per_second=settings.retention.log_lines_per_second)
        where = made(places(root, settings, state))
        store = open_store(where.state, ballast_megabytes=settings.retention.ballast_megabytes)
    except ConfigError as exc:
        print(exc, *reload.way_back(root, state), sep="\n", file=sys.stderr)
        return EXIT_CONFIG
    except StoreError as exc:
        print(f"cemd: {exc}", file=sys.stderr)
        return _exit_code(exc)
    try:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # else every counter is there twice
        return asyncio.run(_live(root, where, store, port=port, with_prober=with_prober, log_json=json_lines))
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return EXIT_CONFIG
    except CemdError as exc:
        print(f"cemd: {exc}", file=sys.stderr)
        return _exit_code(exc)
    finally:
        store.close()


def _exit_code(error: CemdError) -> int:
    match error:
        case UnwritableChange():  # a fault of cemd: a new start counts it, and sets it aside
            return 1
        case StoreUnavailable():
            return EXIT_STORE_LATER
        case StoreError():
            return EXIT_STORE
    return 1


def _enter(root: Path) -> None:
    """Files that the configuration names lie relative to its root.

    Raises:
        ConfigError: there is no such folder.
    """
    try:
        os.chdir(root)
    except OSError as exc:
        fact = f"cannot be entered ({exc.strerror})"
        raise ConfigError(
            [Fault(str(root), 0, 0, fact, "name the folder that holds config/, probes/, rules/")]
        ) from exc


async def _live(
    root: Path, where: Places, store: SqliteStore, *, port: int | None, with_prober: bool, log_json: bool
) -> int:
    return await _House(root, where, store, port=port, log_json=log_json).live(with_prober=with_prober)


class _House:
    """One life of the daemon."""

    def __init__(self, root: Path, where: Places, store: SqliteStore, *, port: int | None, log_json: bool) -> None:
        self.root = root
        self.where = where
        self.store = store
        self.registry = CollectorRegistry()
        self.published = Published()
        self.news = News(log)
        self.stopping = asyncio.Event()
        self.notify = patient_notifier(log)
        self.fault: BaseException | None = None
        self.outlet = Outlet(asyncio.get_running_loop())
        self.stopwatch = Stopwatch(SystemClock())
        self.core = Core(store, self.outlet, self.stopwatch)
        self._port = port
        self._log_json = log_json
        self._reload_asked = asyncio.Event()
        self.epochs = Epochs(self.core, store, where, root)
        self.mending = Mending()

    async def live(self, *, with_prober: bool) -> int:
        """Builds, runs until the stop signal, and takes everything down again; returns the exit code.

        Raises:
            ConfigError: the files have faults.
            StoreError: the state cannot be read.
        """
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_number, self.stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_asked.set)  # from here to the end: by default it kills
        said_seq = self.store.state.applied_seq()
        await asyncio.to_thread(self.core.recover, wall=time.time())
        speed_up(self.core.state.analyze.bank, self.where.compiled, log)
        self.news.go_on(
            improve.view(self.core.state.improve),
            report_view(self.core.state.report, self.core.state.customers),
            said_seq=said_seq,
            silent=self.core.state.report.silent,
        )
        accepted = self.epochs.read("start")
        self.configuration = accepted.configuration
        self.sequencer = Sequencer(
            self.core,
            _rhythm(self.configuration.settings),
            loop=loop,
            after_tick=self.published.publish,
            failed=self._core_failed,
        )
        self.refused_reloads = watch_daemon(self.registry, self.sequencer, self.mending, self.stopwatch)
        self._tell_the_core(accepted)
        async with AsyncExitStack() as opened:
            self.sequencer.start()
            opened.push_async_callback(self.sequencer.stop)
            if not await self._hold_if_restored():
                return 0
            self.edges = await opened.enter_async_context(
                Edges(self.configuration, self.where, self.store, self.sequencer, self.registry, root=self.root)
            )
            self.outlet.connect(*self.edges.takers, self._take_config)
            self.mending.others = self._at_the_edges
            server = self._page()
            await server.start()
            opened.push_async_callback(server.stop)
            await self._work(server, with_prober=with_prober)
        return 1 if self.fault is not None else 0

    async def _work(self, server: WebServer, *, with_prober: bool) -> None:
        """Runs everything that goes on until the stop signal."""
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(keep_running(work, name=name, log=log), name=name)
                for name, work in (
                    ("watchdog", self._feed_watchdog),
                    ("upkeep", self._keep_files),
                    ("heap", self._keep_heap),
                    ("news", lambda: self.news.run(self.published)),
                    ("customers", self.edges.load_customers),
                    ("reload", self._reload_when_asked),
                    ("evidence", self.edges.evidence.keep_storing),
                    ("machine code", lambda: make_for_next_start(self.where.compiled, log)),
                )
            ]
            if with_prober:
                vantage = self.configuration.settings.vantage
                prober = ProberProcess(self.where.socket, self.where.prober, vantage=vantage, log_json=self._log_json)
                running.append(tasks.create_task(keep_running(prober.run, name="prober", log=log), name="prober"))
            self._write_pid()
            sys.setswitchinterval(SWITCH_SECONDS)
            settle()
            self.notify.ready(self._status())
            log.info("started", version=__version__, page=server.url, replayed=self.core.replayed)
            await self.stopping.wait()
            self.edges.prober.expect_end()
            self.notify.stopping()
            log.info("stopping")
            for task in running:
                task.cancel()
        await self.edges.evidence.store()
        self.where.pid.unlink(missing_ok=True)

    def _write_pid(self) -> None:
        try:
            self.where.pid.write_text(f"{os.getpid()}\n")
        except OSError as exc:
            log.warning("no_pid_file", file=str(self.where.pid), reason=exc.strerror or str(exc))

    async def _hold_if_restored(self) -> bool:
        """A restored set holds sending: the mark goes only when the log has the command, and before any edge works.
        False: the stop signal came before the log took it."""
        if is_restored(self.where.state):
            hold = self.sequencer.submit(Command(kind=CommandKind.HOLD_SENDING, actor="restore"))
            waits = [asyncio.create_task(hold, name="hold"), asyncio.create_task(self.stopping.wait(), name="stop")]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            held = waits[0].done()
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            if not held:
                return False
            waits[0].result()
            release_restored(self.where.state)
            log.warning("restored", remedy="sending is held until a person releases it")
        return True

    def _tell_the_core(self, accepted: reload.Accepted) -> None:
        """What the core has to know before the first tick: that it started, what was numbered but never logged, and the
        files if they changed."""
        self.sequencer.post(Started(version=__version__))
        self.epochs.take(accepted, self.sequencer.post)
        table = self.core.state.analyze.table
        unknown = tuple(series for series in self.store.series.all() if table.row(series.id) < 0)
        if unknown:
            self.sequencer.post(SeriesAdded(series=unknown))
        for seq in self.core.set_aside:
            log.error("entry_set_aside", seq=seq, remedy="it crashed the core twice; state.db keeps it in quarantine")

    async def _reload_when_asked(self) -> None:
        """Signals that come during a reload make one more, which sees what they were sent for."""
        while True:
            await self._reload_asked.wait()
            self._reload_asked.clear()
            await self._reload()

    async def _reload(self) -> None:
        """Reads the files again: all of them take effect, or nothing changes."""
        self.notify.reloading()
        try:
            accepted = await self.epochs.read_apart("reload")
            topology = await asyncio.to_thread(Topology, accepted.configuration)
            changed = await asyncio.to_thread(self.epochs.take, accepted, self.sequencer.post, topology)
        except Exception as exc:  # noqa: BLE001 -- the guard of this edge: no reload ends the process
            self.refused_reloads.inc()
            self.mending.refuse_reload(exc, time.time())
            log.error("reload_refused", reason=_said(exc), remedy="the configuration before it stays in effect")
        else:
            self.mending.take_reload()
            log.info("reloaded", epoch=accepted.hash, changed=changed)
            await self.epochs.settle()  # customers may name what only the new files know
            settle()  # as at the start: what is new stays
            await self.edges.load_customers()
        self.notify.ready(self._status())

    def _at_the_edges(self) -> Iterator[ToMend]:
        failing = self.edges.report.failing()
        yield from map(of_channel, failing)
        yield from of_views(self.published.views, failing, self.configuration.settings.vantage)
        yield from map(of_pushed, self.edges.complaints())

    def _status(self) -> str:
        """One line, as `systemctl status` shows it."""
        watched = f"watching {counted(len(self.configuration.probes), 'probe')}"
        refused = "; the last reload was refused, `cemd status` says why" if self.mending.reload_refused else ""
        return watched + refused

    def _take_config(self, _: Entry, effects: Effects) -> None:
        """A configuration took effect in the core: the edges follow."""
        if effects.config is not None:
            self.configuration = self.core.state.topology.configuration
            self.sequencer.rhythm = _rhythm(self.configuration.settings)
            self.edges.reconfigure(self.configuration, epoch=effects.config.hash)
            self.epochs.took_effect(effects.config.hash)

    def _page(self) -> WebServer:
        settings = self.configuration.settings
        token = settings.listen.push_token_file
        self.doors = Doors(
            operator=settings.operator.name,
            zone=settings.operator.zone,
            registry=self.registry,
            sequencer=self.sequencer,
            published=self.published,
            store=self.store,
            push=self.edges.push,
            prober=self.edges.prober,
            evidence=self.edges.evidence,
            refused_customers=lambda: self.edges.refused_customers,
            mending=self.mending,
            token_file=secret_path(token) if token is not None else None,
        )
        port = settings.listen.port if self._port is None else self._port
        stale = max(15.0, 5 * settings.tick_seconds)
        return WebServer(self.doors, host=settings.listen.host, port=port, stale_after_seconds=stale)

    async def _feed_watchdog(self) -> None:
        """Fed by progress alone: the core ticks and, where one should be, the prober works."""
        every = watchdog_seconds()
        while every is not None:
            if self.doors.alive():
                self.notify.watchdog()
            await asyncio.sleep(every / 3)

    async def _keep_files(self) -> None:
        """Old history, quotas, ballast."""
        retention = self.configuration.settings.retention
        upkeep = Upkeep(
            self.store,
            samples_days=retention.samples_days,
            samples_megabytes=retention.samples_megabytes,
            state_megabytes=retention.state_megabytes,
            evidence_days=retention.evidence_days,
            evidence_megabytes=retention.evidence_megabytes,
        )
        said: set[str] = set()
        while True:
            report = await asyncio.to_thread(upkeep.run, time.time())
            for fault in report.faults:
                if fault not in said:
                    log.warning("upkeep", fault=fault)
            said = set(report.faults)
            await asyncio.sleep(UPKEEP_BUSY_SECONDS if report.round_running else UPKEEP_SECONDS)

    async def _keep_heap(self) -> None:
        """Series that are new stay as well."""
        settled = len(self.core.state.analyze.table)
        while True:
            await asyncio.sleep(HEAP_SECONDS)
            if (series := len(self.core.state.analyze.table)) - settled >= MANY_SERIES:
                settle()
                settled = series

    def _core_failed(self, exc: BaseException) -> None:
        log.critical("core_failed", error=f"{type(exc).__name__}: {exc}", exc_info=exc)
        self.fault = exc
        self.stopping.set()


def _said(exc: Exception) -> str:
    return str(exc) if isinstance(exc, CemdError) else f"{type(exc).__name__}: {exc}"


def _rhythm(settings: Settings) -> Rhythm:
    return Rhythm(
        tick_seconds=settings.tick_seconds,
        snapshot_seconds=settings.retention.snapshot_seconds,
        max_pending_samples=settings.intake.max_pending,
    )
