"""The E-model (ITU-T G.107): from delay and loss to the rating R and an estimated MOS; and classes of delay and loss.

Pure arithmetic over the Recommendation's defaults; what varies is delay, codec and loss. The result is an estimate of
conversational quality in narrow band, from 1 to 4.5; wide band (G.107.1, R up to 129) is not covered, and nothing here
may be applied to it. The shortcut by Cole and Rosenbluth is not used: it is nine points wrong at half a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

_SLR, _RLR, _STMR, _LSTR = 8.0, 2.0, 15.0, 18.0
_DS, _TELR, _WEPL = 3.0, 65.0, 110.0
_NC, _NFOR, _PS, _PR = -70.0, -64.0, 35.0, 35.0
_ST, _MT_MS = 1.0, 100.0
"""Defaults of G.107, table 2; sT and mT for sensitive conversations."""
LEAST_PACKETS = 3_000
"""A loss of 1e-3 is not excluded (at 95 %) by fewer packets without a loss: three over the share."""


@dataclass(frozen=True, slots=True)
class Codec:
    """What a codec costs (ITU-T G.113, Appendix I): impairment without loss, and its robustness against it."""

    impairment: float
    robustness: float


def r_factor(delay_seconds: float, codec: Codec, *, loss_ratio: float = 0.0, burst_ratio: float = 1.0) -> float:
    """The rating of a connection.

    Args:
        delay_seconds: One way, from mouth to ear, the same in both directions.
        codec: Of both directions.
        loss_ratio: Share of packets that were not played, 0 to 1.
        burst_ratio: Above 1 where losses come in bursts.

    Returns:
        R, at most 93.2 with these defaults; below 50 is not recommended, and it may be negative.

    Raises:
        ValueError: delay is negative, loss is no share, or `burst_ratio` is below 1.

    Source: ITU-T G.107.

    >>> round(r_factor(0.0, Codec(0.0, 4.3)), 1)
    93.2
    """
    if delay_seconds < 0 or not 0 <= loss_ratio <= 1 or burst_ratio < 1:
        raise ValueError(f"delay {delay_seconds}, loss {loss_ratio}, bursts {burst_ratio}: out of range")
    noise = _noise()
    signal = 15.0 - 1.5 * (_SLR + noise)
    echo_path = delay_seconds * 1000.0
    sidetone = _sidetone(echo_path)
    return (
        signal
        - _simultaneous(noise, signal, sidetone)
        - _delayed(noise, signal, echo_path)
        - _equipment(codec, loss_ratio * 100.0, burst_ratio)
    )


def mos_of(rating: float) -> float:
    """The mean opinion score that a rating stands for: 1 to 4.5.

    >>> round(mos_of(93.2), 2)
    4.41
    """
    if rating <= 0:
        return 1.0
    if rating >= 100:
        return 4.5
    return max(1.0, 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7e-6)


def good_or_better_ratio(rating: float) -> float:
    """Share of users who would say good or better (G.107, Annex B)."""
    return _normal((rating - 60.0) / 16.0)


def poor_or_worse_ratio(rating: float) -> float:
    """Share of users who would say poor or worse (G.107, Annex B)."""
    return _normal((45.0 - rating) / 16.0)


def _noise() -> float:
    """No: all circuit noise, in dBm0p."""
    speech_room = _PS - _SLR - _DS - 100.0 + 0.004 * (_PS - _SLR - _RLR - _DS - 14.0) ** 2
    listener = _PR + 10.0 * math.log10(1.0 + _power(10.0 - _LSTR))
    listening_room = _RLR - 121.0 + listener + 0.008 * (listener - 35.0) ** 2
    return 10.0 * math.log10(sum(map(_power, (_NC, speech_room, listening_room, _NFOR + _RLR))))


def _power(decibels: float) -> float:
    return math.pow(10.0, decibels / 10.0)


def _rounded(value: float, sharpness: float) -> float:
    """1 where `value` is small, `value` where it is large, with a rounded corner between."""
    return math.pow(1.0 + math.pow(value, sharpness), 1.0 / sharpness)


def _sidetone(delay_ms: float) -> float:
    """Ist, where STMRo is the sidetone with the talker echo in it."""
    masked = -10.0 * math.log10(_power(-_STMR) + math.exp(-delay_ms / 4.0) * _power(-_TELR))
    too_much = 12.0 * _rounded((masked - 13.0) / 6.0, 8)
    return too_much - 28.0 * _rounded((masked + 1.0) / 19.4, 35) - 13.0 * _rounded((masked - 3.0) / 33.0, 13) + 29.0


def _simultaneous(noise: float, signal: float, sidetone: float) -> float:
    """Is: too loud, sidetone not right, quantising of one codec."""
    loudness = _SLR + _RLR + 0.2 * (64.0 + noise - _RLR)
    too_loud = 20.0 * (_rounded(loudness / 8.0, 8) - loudness / 8.0)
    distortion = 37.0  # Q of one PCM coding
    gap = 1.07 + 0.258 * distortion + 0.0602 * distortion**2
    lift = 46.0 / 30.0 - gap / 40.0
    floor = (signal - 100.0) / 15.0 + 46.0 / 8.4 - gap / 9.0
    return too_loud + sidetone + 15.0 * math.log10(1.0 + math.pow(10.0, floor) + math.pow(10.0, lift))


def _delayed(noise: float, signal: float, delay_ms: float) -> float:
    """Id: talker echo, listener echo, and too long a delay even without any."""
    round_trip = 2.0 * delay_ms
    echo_loss = _TELR - 40.0 * math.log10((1.0 + delay_ms / 10.0) / (1.0 + delay_ms / 150.0))
    echo_loss += 6.0 * math.exp(-0.3 * delay_ms**2)
    talker_rating, talker_base = 80.0 + 2.5 * (echo_loss - 14.0), -1.5 * (noise - _RLR)
    half = (talker_base - talker_rating) / 2.0
    talker = 0.0 if delay_ms < 1.0 else (half + math.sqrt(half**2 + 100.0) - 1.0) * (1.0 - math.exp(-delay_ms))
    listener_rating = 10.5 * (_WEPL + 7.0) * math.pow(round_trip + 1.0, -0.25)
    half = (signal - listener_rating) / 2.0
    return talker + half + math.sqrt(half**2 + 169.0) + _absolute(delay_ms)


def _absolute(delay_ms: float) -> float:
    if delay_ms <= _MT_MS:
        return 0.0
    octaves, sharpness = math.log2(delay_ms / _MT_MS), 6.0 * _ST
    return 25.0 * (_rounded(octaves, sharpness) - 3.0 * _rounded(octaves / 3.0, sharpness) + 2.0)


def _equipment(codec: Codec, loss_percent: float, burst_ratio: float) -> float:
    """Ie,eff: the codec, and what loss does to it."""
    if not loss_percent:
        return codec.impairment
    share = loss_percent / (loss_percent / burst_ratio + codec.robustness)
    return codec.impairment + (95.0 - codec.impairment) * share


def _normal(deviation: float) -> float:
    return 0.5 * (1.0 + math.erf(deviation / math.sqrt(2.0)))


class DelayClass(IntEnum):
    """ITU-T G.114: what a one-way delay is for planning."""

    FINE = 0
    NOTICED = 1
    UNACCEPTABLE = 2


def delay_class(delay_seconds: float) -> DelayClass:
    """At most 150 ms is fine for most uses; above 400 ms no network should be planned."""
    if delay_seconds <= 0.150:
        return DelayClass.FINE
    return DelayClass.NOTICED if delay_seconds <= 0.400 else DelayClass.UNACCEPTABLE


def y1541_class(delay_seconds: float, variation_seconds: float, loss_ratio: float, *, packets: int) -> int | None:
    """The best class of ITU-T Y.1541 (0 to 5) that the figures meet; None where there are too few packets to say.

    Args:
        delay_seconds: Mean one-way delay (IPTD).
        variation_seconds: Its 0.999 quantile above the smallest (IPDV).
        loss_ratio: IPLR.
        packets: How many the figures stand on.

    The provisional classes 6 and 7 are not given: their 1e-5 would need 300,000 packets.
    """
    if packets < LEAST_PACKETS:
        return None
    if loss_ratio > 1e-3:
        return 5
    steady = variation_seconds <= 0.050
    for limit, of_steady, otherwise in ((0.100, 0, 2), (0.400, 1, 3)):
        if delay_seconds <= limit:
            return of_steady if steady else otherwise
    return 4 if delay_seconds <= 1.0 else 5
