"""Names for object identifiers that operators ask for most; whatever stands in no list is written as numbers.

A name with its instance reads `ifHCInOctets.3`. The list holds single values (asked as `sysUpTime.0`) and columns.

Source: the published modules SNMPv2-MIB, IF-MIB, IP-MIB, TCP-MIB, UDP-MIB, HOST-RESOURCES-MIB, ENTITY-SENSOR-MIB,
BGP4-MIB, UPS-MIB, UCD-SNMP-MIB.
"""

from __future__ import annotations

from collections.abc import Mapping

from cemd.monitor.protocols.ber import Oid

_MODULES: dict[Oid, str] = {
    (1, 3, 6, 1, 2, 1, 1): "sysDescr sysObjectID sysUpTime sysContact sysName sysLocation sysServices",
    (1, 3, 6, 1, 2, 1, 2): "ifNumber",
    (1, 3, 6, 1, 2, 1, 2, 2, 1): (
        "ifIndex ifDescr ifType ifMtu ifSpeed ifPhysAddress ifAdminStatus ifOperStatus ifLastChange ifInOctets "
        "ifInUcastPkts ifInNUcastPkts ifInDiscards ifInErrors ifInUnknownProtos ifOutOctets ifOutUcastPkts "
        "ifOutNUcastPkts ifOutDiscards ifOutErrors ifOutQLen"
    ),
    (1, 3, 6, 1, 2, 1, 31, 1, 1, 1): (
        "ifName ifInMulticastPkts ifInBroadcastPkts ifOutMulticastPkts ifOutBroadcastPkts ifHCInOctets "
        "ifHCInUcastPkts ifHCInMulticastPkts ifHCInBroadcastPkts ifHCOutOctets ifHCOutUcastPkts "
        "ifHCOutMulticastPkts ifHCOutBroadcastPkts ifLinkUpDownTrapEnable ifHighSpeed ifPromiscuousMode "
        "ifConnectorPresent ifAlias ifCounterDiscontinuityTime"
    ),
    (1, 3, 6, 1, 2, 1, 4): (
        "ipForwarding ipDefaultTTL ipInReceives ipInHdrErrors ipInAddrErrors ipForwDatagrams ipInUnknownProtos "
        "ipInDiscards ipInDelivers ipOutRequests ipOutDiscards ipOutNoRoutes"
    ),
    (1, 3, 6, 1, 2, 1, 6): (
        "tcpRtoAlgorithm tcpRtoMin tcpRtoMax tcpMaxConn tcpActiveOpens tcpPassiveOpens tcpAttemptFails "
        "tcpEstabResets tcpCurrEstab tcpInSegs tcpOutSegs tcpRetransSegs"
    ),
    (1, 3, 6, 1, 2, 1, 7): "udpInDatagrams udpNoPorts udpInErrors udpOutDatagrams",
    (1, 3, 6, 1, 2, 1, 15, 3, 1): (
        "bgpPeerIdentifier bgpPeerState bgpPeerAdminStatus bgpPeerNegotiatedVersion bgpPeerLocalAddr "
        "bgpPeerLocalPort bgpPeerRemoteAddr bgpPeerRemotePort bgpPeerRemoteAs bgpPeerInUpdates bgpPeerOutUpdates"
    ),
    (1, 3, 6, 1, 2, 1, 25, 1): "hrSystemUptime hrSystemDate",
    (1, 3, 6, 1, 2, 1, 25, 2, 3, 1): (
        "hrStorageIndex hrStorageType hrStorageDescr hrStorageAllocationUnits hrStorageSize hrStorageUsed"
    ),
    (1, 3, 6, 1, 2, 1, 25, 3, 3, 1): "hrProcessorFrwID hrProcessorLoad",
    (1, 3, 6, 1, 2, 1, 33, 1, 2): (
        "upsBatteryStatus upsSecondsOnBattery upsEstimatedMinutesRemaining upsEstimatedChargeRemaining "
        "upsBatteryVoltage upsBatteryCurrent upsBatteryTemperature"
    ),
    (1, 3, 6, 1, 2, 1, 99, 1, 1, 1): (
        "entPhySensorType entPhySensorScale entPhySensorPrecision entPhySensorValue entPhySensorOperStatus"
    ),
    (1, 3, 6, 1, 4, 1, 2021, 10, 1): "laIndex laNames laLoad laConfig laLoadInt",
}

NAMES: Mapping[str, Oid] = {
    name: (*stem, number) for stem, names in _MODULES.items() for number, name in enumerate(names.split(), start=1)
}


def parse_oid(text: str, own: Mapping[str, Oid] | None = None) -> Oid:
    """The identifier that a text names: numbers with dots, or a name with the numbers of its instance.

    Raises:
        ValueError: it is neither; the text says what is known.
    """
    head, _, rest = text.strip().removeprefix(".").partition(".")
    stem: Oid = ()
    if not head.isdigit():
        known = {**NAMES, **(own or {})}
        if head not in known:
            raise ValueError(f"{head[:60]!r} is no known object; write it as numbers, or name it under `names`")
        stem = known[head]
    else:
        rest = text.strip().removeprefix(".")
    numbers = rest.split(".") if rest else []
    if not all(number.isascii() and number.isdigit() and int(number) <= 0xFFFF_FFFF for number in numbers):
        raise ValueError(f"{text[:100]!r} is no object identifier: numbers from 0 to 4294967295 with dots between them")
    parts = (*stem, *map(int, numbers))
    if len(parts) < 2 or parts[0] > 2 or (parts[0] < 2 and parts[1] > 39) or len(parts) > 128:
        raise ValueError(f"{text[:100]!r} is no object identifier")
    return parts
