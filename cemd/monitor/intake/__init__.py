"""The daemon's doors for measurements: the prober's socket, MQTT, and HTTP push; acknowledged only when logged.

`book` gives series their durable numbers, `samples` judges pushed JSON, `prober_server`, `mqtt` and `push` are the
three doors. Bytes from outside are counted, said once, dropped, and never reach further than here. Nothing is
measured here, nothing is stored here: what comes in is handed to `submit`.
"""

from cemd.monitor.intake.book import Catalogue, SeriesBook, Submit
from cemd.monitor.intake.complaints import Complaint
from cemd.monitor.intake.mqtt import MqttIntake
from cemd.monitor.intake.prober_server import ProberServer
from cemd.monitor.intake.push import Push, PushAnswer, Taker
from cemd.monitor.intake.samples import parse_push

__all__ = [
    "Catalogue",
    "Complaint",
    "MqttIntake",
    "ProberServer",
    "Push",
    "PushAnswer",
    "SeriesBook",
    "Submit",
    "Taker",
    "parse_push",
]
