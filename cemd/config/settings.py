"""The daemon's own settings (`config/cemd.yaml`): who we are, where we listen, what we keep."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cemd.config.base import FileModel, Name, Seconds
from cemd.config.targets import Targets
from cemd.config.vantage import Vantage, WayOut


class Operator(FileModel):
    """The company whose customers are told."""

    name: str = "Operator"
    """As customers know it; texts may use it."""
    zone: str = "UTC"
    """IANA time zone of the operator; used where neither customer nor site has one."""
    language: str = "en"
    """Language of a text where the customer's is not given or has no text."""
    jurisdiction: str = ""
    """The law that its messages stand under, for the record."""


class Listen(FileModel):
    """Where page, API and metrics are served; loopback unless told otherwise."""

    host: str = "127.0.0.1"
    """Address to listen on; another than loopback needs `push_token_file`."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8480
    """0: any free port, printed at the start."""
    push_token_file: str | None = None
    """File with the token that pushed data and commands must carry; needed as soon as `host` is not loopback."""


class MqttIntake(FileModel):
    """Telemetry from a broker: JSON objects on `topics`, acknowledged only when logged."""

    name: Name
    """Its series carry the source `mqtt:NAME`."""
    host: str
    """The broker."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 1883
    """The broker's port; 1883 is the standard without TLS, 8883 with it."""
    topics: list[str] = Field(min_length=1)
    """What to subscribe to; `+` and `#` as MQTT defines them."""
    version: Literal["5", "3.1.1"] = "5"
    """Version of MQTT that the broker speaks; 3.1.1 only for brokers that know nothing newer."""
    client_id: str = "cemd"
    """Under this name the broker keeps what we did not acknowledge; two daemons need two names."""
    user: str | None = None
    """Name to sign in with."""
    password_file: str | None = None
    """File that holds the password and nothing else."""
    ca_file: str | None = None
    """Given: TLS, verified against this file."""


class Intake(FileModel):
    """Who may push data, and how much. What such data looks like: `cemd explain push`."""

    mqtt: list[MqttIntake] = []
    """Brokers to subscribe at."""
    http: list[Name] = []
    """Names of sources that may push JSON to `/api/v1/measurements/NAME`, with the header `X-Cemd-Request: 1`, or with
    `Authorization: Bearer …` where `listen.push_token_file` names a token."""
    max_series: Annotated[int, Field(ge=1, le=50_000_000)] = 100_000
    """Most series per source; beyond it new ones are refused and counted."""
    max_pending: Annotated[int, Field(ge=100, le=10_000_000)] = 100_000
    """Samples waiting for the log beyond which pushed data is told to come back later."""


class CustomersSource(FileModel):
    """Where the customers come from."""

    file: str
    """CSV with a header; loaded at start and reload when its content changed."""


class Retention(FileModel):
    """What is kept, for how long, in how much space."""

    samples_days: Annotated[float, Field(gt=0, le=3660)] = 30.0
    """Age beyond which samples are dropped; a month lets one season be compared with the one before."""
    samples_megabytes: Annotated[int, Field(ge=16, le=10_000_000)] = 4096
    """Size of samples.db beyond which the oldest samples give way."""
    evidence_days: Annotated[float, Field(gt=0, le=3660)] = 180.0
    """Age beyond which the evidence of failed attempts is dropped: longer than the samples, for questions come late."""
    evidence_megabytes: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Size of that evidence beyond which the oldest gives way; it lies in samples.db, of whose size it has at most a
    quarter."""
    state_megabytes: Annotated[int, Field(ge=16, le=10_000_000)] = 2048
    """Size of state.db beyond which cemd warns; its rows never give way by themselves."""
    ballast_megabytes: Annotated[int, Field(ge=0, le=10_000)] = 16
    """Space kept free by a file that is given up when the disk is full, so that state stays writable."""
    snapshot_seconds: Seconds = 300.0
    """From one snapshot of the analysis to the next; a start replays what came after the last."""
    log_lines_per_second: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Most lines that cemd logs; the rest is counted."""


class Settings(FileModel):
    """The daemon's own settings. Everything has a default; an empty file is a good start."""

    operator: Operator = Operator()
    """The company, as customers know it."""
    listen: Listen = Listen()
    """Where page, API and metrics are served."""
    state_directory: str = "state"
    """Relative to the folder that holds `config/`; the service unit sets STATE_DIRECTORY, which wins."""
    vantage: Name = "home"
    """Name of this machine's own prober, as a vantage point; a change takes effect at the next start."""
    vantages: tuple[Vantage, ...] = ()
    """Vantage points: what each must reach to be sure that it sees, and agents beside this machine's own prober."""
    tick_seconds: Annotated[float, Field(ge=0.1, le=60)] = 2.0
    """How often findings, incidents and decisions are worked out; the least delay of everything."""
    lateness_seconds: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    """A sample further behind its vantage's newest goes to history only: it never opens, ends or announces."""
    probes_at_once: Annotated[int, Field(ge=1, le=10_000)] = 2_000
    """Most probes of one kind in flight: the bulkhead. Half of it at most for those that hung at their last run."""
    targets: Targets = Targets()
    """Where probes may go."""
    intake: Intake = Intake()
    """Who may push data."""
    customers: CustomersSource | None = None
    """Whom notices can reach; left out: nobody is told."""
    retention: Retention = Retention()
    """What is kept, for how long."""

    def way_out(self, vantage: str) -> WayOut:
        """What a vantage point watches of its own way out."""
        return next((one.way_out for one in self.vantages if one.name == vantage), WayOut())

    def runs_at(self, vantages: tuple[str, ...]) -> tuple[str, ...]:
        """Where a probe with these vantage points runs: by default at home."""
        return vantages or (self.vantage,)


class SettingsFile(Settings):
    """`config/cemd.yaml` as a whole."""
