"""What may be wrong in a file, each with its exact message: a file, a text in it, what is written instead, the message.

The files are those of the good set in `kinds`; `test_load` changes one place, and expects the message among those told.
"""

# ruff: noqa: E501 -- a message stands on one line, as it is printed
from __future__ import annotations

CEMD, CHANNELS, CATALOGUE = "config/cemd.yaml", "config/channels.yaml", "config/catalogue/all.yaml"
PROBES, ANALYZE, IMPROVE, REPORT = (
    "probes/core.yaml",
    "rules/analyze/core.yaml",
    "rules/improve/grouping.yaml",
    "rules/report/customers.yaml",
)

BAD: dict[str, tuple[str, str, str, str]] = {
    # name: file, text, what replaces it, the message
    "unknown-key": (
        PROBES,
        "    every_seconds: 30",
        "    evry_seconds: 30\n            every_seconds: 30",
        (
            'probes/core.yaml:7:5: probe "core-east": unknown key "evry_seconds" (did you mean "every_seconds"?); '
            "correct or remove it"
        ),
    ),
    "unknown-section": (
        PROBES,
        "values: {core",
        "probe: []\n        values: {core",
        'probes/core.yaml:1:1: unknown key "probe" (did you mean "probes"?); known here: values, probes',
    ),
    "unknown-key-far-from-any": (
        CEMD,
        "name: Example Telecom, ",
        "qqq: 1, ",
        'config/cemd.yaml:1:12: operator: unknown key "qqq"; known here: jurisdiction, language, name, zone',
    ),
    "number-as-text": (
        PROBES,
        "every_seconds: 30",
        'every_seconds: "30"',
        'probes/core.yaml:7:20: probe "core-east": every_seconds is a text; write a number without quotes',
    ),
    "number-with-unit": (
        PROBES,
        "every_seconds: 30",
        "every_seconds: 30s",
        (
            'probes/core.yaml:7:20: probe "core-east": every_seconds is a text; write a number and nothing else: no unit, no'
            " words"
        ),
    ),
    "yes-is-a-text": (
        CATALOGUE,
        "sold: true",
        "sold: yes",
        'config/catalogue/all.yaml:2:79: service "broadband": sold is a text; write `true` or `false` without quotes',
    ),
    "list-expected": (
        CATALOGUE,
        "depends_on: [core]}\n          - {name: core",
        "depends_on: core}\n          - {name: core",
        'config/catalogue/all.yaml:2:97: service "broadband": depends_on is a text; write a list',
    ),
    "section-is-no-list": (
        IMPROVE,
        "playbooks:\n          - {name: look-again}",
        "playbooks: {name: look-again}",
        "rules/improve/grouping.yaml:2:12: playbooks is not a list; begin each entry with `- name: …`",
    ),
    "entry-is-a-text": (
        IMPROVE,
        "{name: look-again}",
        "look-again",
        "rules/improve/grouping.yaml:3:5: playbook number 1 is a text; write a mapping of keys to values",
    ),
    "word-of-no-list": (
        CATALOGUE,
        "access, domain: network",
        "access, domain: netwrk",
        (
            'config/catalogue/all.yaml:2:49: service "broadband": domain is none of the words permitted here '
            "(did you mean \"network\"?); write 'network', 'it', 'bss' or 'partner'"
        ),
    ),
    "name-in-capitals": (
        IMPROVE,
        "look-again",
        "Look Again",
        (
            'rules/improve/grouping.yaml:3:12: playbook "Look Again": name is not a name; use lower-case letters, digits, '
            '".", "_" and "-", at most 63 of them'
        ),
    ),
    "out-of-range": (
        ANALYZE,
        "window_seconds: 300",
        "window_seconds: 0",
        'rules/analyze/core.yaml:5:21: indicator "loss": window_seconds is out of range; write a number above 0',
    ),
    "empty-list": (
        REPORT,
        "bases: [contract]",
        "bases: []",
        'rules/report/customers.yaml:4:12: policy "faults": bases is empty; give at least 1',
    ),
    "journey-without-owner": (
        CATALOGUE,
        "            owner: sales-operations\n",
        "",
        (
            'config/catalogue/all.yaml:12:5: journey "order": key "owner" is missing; '
            "add `owner: …` (Who answers for it; alerts and reports can be routed by owner)"
        ),
    ),
    "process-without-domain": (
        CATALOGUE,
        ", domain: selling-and-billing",
        "",
        (
            'config/catalogue/all.yaml:10:5: process "order-handling": key "domain" is missing; '
            "add `domain: …` (Part of the business that it belongs to, such as selling-and-billing)"
        ),
    ),
    "missing-in-a-step": (
        CATALOGUE,
        "touchpoint: portal, needs",
        "needs",
        (
            'config/catalogue/all.yaml:18:9: journey "order": steps[0]: key "touchpoint" is missing; '
            "add `touchpoint: …` (Where it happens)"
        ),
    ),
    "unknown-service": (
        PROBES,
        "service: broadband\n            site",
        "service: brodband\n            site",
        (
            'probes/core.yaml:5:14: probe "core-east": service "brodband" does not exist (did you mean "broadband"?); '
            "define it under `services:` or correct the name"
        ),
    ),
    "unknown-site": (
        PROBES,
        "site: east",
        "site: mars",
        (
            'probes/core.yaml:6:11: probe "core-east": site "mars" does not exist; '
            "define it under `sites:` or correct the name"
        ),
    ),
    "unknown-touchpoint-of-a-step": (
        CATALOGUE,
        "touchpoint: portal",
        "touchpoint: portl",
        (
            'config/catalogue/all.yaml:18:36: journey "order": touchpoint "portl" does not exist (did you mean "portal"?); '
            "define it under `touchpoints:` or correct the name"
        ),
    ),
    "unknown-need-of-a-step": (
        CATALOGUE,
        "needs: [broadband]",
        "needs: [tv]",
        (
            'config/catalogue/all.yaml:18:52: journey "order": service "tv" does not exist; '
            "define it under `services:` or correct the name"
        ),
    ),
    "unknown-dependency": (
        CATALOGUE,
        "depends_on: [core]}\n          - {name: core",
        "depends_on: [cor]}\n          - {name: core",
        (
            'config/catalogue/all.yaml:2:98: service "broadband": service "cor" does not exist (did you mean "core"?); '
            "define it under `services:` or correct the name"
        ),
    ),
    "unknown-parent": (
        CATALOGUE,
        "parent: north",
        "parent: south",
        (
            'config/catalogue/all.yaml:6:26: site "east": site "south" does not exist (did you mean "north"?); '
            "define it under `sites:` or correct the name"
        ),
    ),
    "unknown-process": (
        CATALOGUE,
        "process: order-handling",
        "process: ordering",
        (
            'config/catalogue/all.yaml:15:14: journey "order": process "ordering" does not exist '
            '(did you mean "order-handling"?); define it under `processes:` or correct the name'
        ),
    ),
    "unknown-channel": (
        REPORT,
        "channels: [mail]",
        "channels: [post]",
        (
            'rules/report/customers.yaml:5:16: policy "faults": channel "post" does not exist; '
            "define it under `channels:` or correct the name"
        ),
    ),
    "unknown-service-of-a-policy": (
        REPORT,
        "services: [broadband]",
        "services: [tv]",
        (
            'rules/report/customers.yaml:3:16: policy "faults": service "tv" does not exist; '
            "define it under `services:` or correct the name"
        ),
    ),
    "policy-for-a-service-that-is-not-sold": (
        REPORT,
        "services: [broadband]",
        "services: [core]",
        (
            'rules/report/customers.yaml:3:16: policy "faults": service "core" is not sold, so no customer has it; '
            "name sold services; what they stand on is included"
        ),
    ),
    "unknown-channel-of-a-route": (
        CHANNELS,
        "channel: noc",
        "channel: nocc",
        (
            'config/channels.yaml:5:26: route "all": channel "nocc" does not exist (did you mean "noc"?); '
            "define it under `channels:` or correct the name"
        ),
    ),
    "route-of-an-owner-of-nothing": (
        CHANNELS,
        "channel: noc",
        "channel: noc, owners: [sales]",
        ('config/channels.yaml:5:40: route "all": no journey has this owner; name the `owner:` of a journey'),
    ),
    "policy-through-a-staff-channel": (
        REPORT,
        "channels: [mail]",
        "channels: [noc]",
        (
            'rules/report/customers.yaml:5:16: policy "faults": channel "noc" is for staff, not for customers; '
            "name a channel with `to: customers`"
        ),
    ),
    "route-to-customers": (
        CHANNELS,
        "channel: noc",
        "channel: mail",
        (
            'config/channels.yaml:5:26: route "all": channel "mail" is for customers, not for staff; '
            "name a channel with `to: staff`"
        ),
    ),
    "unknown-kind": (
        PROBES,
        "kind: ping",
        "kind: pinng",
        'probes/core.yaml:4:11: probe "core-east": unknown kind (did you mean "ping"?); use one of ping, walk',
    ),
    "unknown-parameter": (
        PROBES,
        'packets: "{packets}"',
        "pakets: 5",
        (
            'probes/core.yaml:9:37: probe "core-east": params: unknown key "pakets" (did you mean "packets"?); '
            "correct or remove it"
        ),
    ),
    "parameter-of-a-wrong-type": (
        PROBES,
        'packets: "{packets}"',
        'packets: "many"',
        (
            'probes/core.yaml:9:46: probe "core-east": params.packets is a text; write a whole number and nothing else:'
            " no unit, no words"
        ),
    ),
    "missing-parameter": (
        PROBES,
        'target: "{core_host}", ',
        "",
        (
            'probes/core.yaml:9:13: probe "core-east": params: key "target" is missing; '
            "add `target: …` (Address or name to reach)"
        ),
    ),
    "unknown-value": (
        PROBES,
        'target: "{core_host}"',
        'target: "{cor_host}"',
        (
            'probes/core.yaml:9:22: probe "core-east": {cor_host} is no value of this file (did you mean "core_host"?); '
            "add `cor_host: …` under `values:` at the top of the file"
        ),
    ),
    "value-that-is-no-text": (
        PROBES,
        'packets: "5"',
        "packets: 5",
        "probes/core.yaml:1:41: values: packets is a whole number; write a text in quotes",
    ),
    "kind's-own-check": (
        PROBES,
        'steps: [{get: "/orders/{order}"}]',
        "steps: []",
        'probes/core.yaml:16:13: probe "shop": params: there are no steps; write at least one',
    ),
    "duplicate-name": (
        CATALOGUE,
        "- {name: core,",
        "- {name: broadband,",
        (
            'config/catalogue/all.yaml:3:12: duplicate service "broadband", first at config/catalogue/all.yaml:2:12; '
            "rename or remove one of them"
        ),
    ),
    "duplicate-key": (
        PROBES,
        "site: east",
        "kind: ping",
        'probes/core.yaml:6:5: duplicate key "kind", first at line 4; remove one, or join their contents',
    ),
    "duplicate-uid": (
        PROBES,
        "            kind: walk",
        "            uid: core-east\n            kind: walk",
        (
            'probes/core.yaml:11:10: probe "shop": uid "core-east" already belongs to probe "core-east" at '
            "probes/core.yaml:3:5; give each probe a uid of its own"
        ),
    ),
    "duplicate-step": (
        CATALOGUE,
        "needs: [broadband]}",
        "needs: [broadband]}\n              - {name: choose, touchpoint: portal}",
        (
            'config/catalogue/all.yaml:19:16: journey "order": duplicate step "choose", first as number 1; '
            "rename one of them"
        ),
    ),
    "renamed-from-one-that-exists": (
        CATALOGUE,
        "{name: core,",
        "{name: core, renamed_from: broadband,",
        (
            'config/catalogue/all.yaml:3:32: service "core": renamed_from "broadband" is the name of a service that still '
            "exists; remove renamed_from, or the entry with the old name"
        ),
    ),
    "slower-than-its-interval": (
        PROBES,
        "timeout_seconds: 4",
        "timeout_seconds: 45",
        (
            'probes/core.yaml:8:22: probe "core-east": timeout_seconds (45) is not below every_seconds (30); '
            "make the timeout shorter or the interval longer"
        ),
    ),
    "objective-without-bound": (
        ANALYZE,
        "{at_most: 0.02, warn_at: 0.01}",
        "{for_seconds: 5}",
        (
            'rules/analyze/core.yaml:8:16: indicator "loss": the objective has neither at_least nor at_most; '
            "give exactly one of them"
        ),
    ),
    "objective-with-both-bounds": (
        ANALYZE,
        "{at_most: 0.02, warn_at: 0.01}",
        "{at_most: 0.02, at_least: 0.01}",
        (
            'rules/analyze/core.yaml:8:16: indicator "loss": the objective has at_least and at_most; '
            "give exactly one of them"
        ),
    ),
    "warning-on-the-bad-side": (
        ANALYZE,
        "warn_at: 0.01",
        "warn_at: 0.03",
        (
            'rules/analyze/core.yaml:8:41: indicator "loss": warn_at (0.03) is not on the good side of at_most (0.02); '
            "make it smaller than at_most"
        ),
    ),
    "down-on-the-good-side": (
        ANALYZE,
        "warn_at: 0.01",
        "down_at: 0.01",
        (
            'rules/analyze/core.yaml:8:41: indicator "loss": down_at (0.01) is on the good side of at_most (0.02); '
            "make it larger than at_most"
        ),
    ),
    "score-without-a-span": (
        ANALYZE,
        "{worst: 0.1, best: 0}",
        "{worst: 0.1, best: 0.1}",
        'rules/analyze/core.yaml:7:31: indicator "loss": worst and best are the same (0.1); let them differ',
    ),
    "selector-of-an-unknown-kind": (
        ANALYZE,
        "kind: ping",
        "kind: pig",
        (
            'rules/analyze/core.yaml:3:16: indicator "loss": unknown kind of probe (did you mean "ping"?); '
            "use one of ping, walk"
        ),
    ),
    "selector-of-an-unknown-probe": (
        ANALYZE,
        "kind: ping",
        "probe: core-west",
        (
            'rules/analyze/core.yaml:3:17: indicator "loss": probe "core-west" does not exist (did you mean "core-east"?); '
            "define it under `probes:` or correct the name"
        ),
    ),
    "selector-that-nothing-matches": (
        ANALYZE,
        "kind: ping, ",
        "kind: ping, touchpoint: portal, ",
        (
            'rules/analyze/core.yaml:3:9: indicator "loss": no probe can give a series that matches all of these words; '
            "correct the words, or add such a probe"
        ),
    ),
    "selector-of-an-unknown-source": (
        ANALYZE,
        "kind: ping",
        "source: http:counter",
        (
            'rules/analyze/core.yaml:3:18: indicator "loss": no pushed source has this name '
            '(did you mean "http:counters"?); name one of `intake` in config/cemd.yaml: `mqtt:NAME`, `http:NAME`'
        ),
    ),
    "live-without-ceiling": (
        REPORT,
        "bases: [contract]",
        "mode: live\n            bases: [contract]",
        (
            'rules/report/customers.yaml:4:11: policy "faults": mode live needs a ceiling; '
            "add `ceiling:`, the largest audience told without a person"
        ),
    ),
    "hold-beyond-the-deadline": (
        REPORT,
        "bases: [contract]",
        "hold_seconds: 600\n            decide_by_seconds: 600\n            bases: [contract]",
        (
            'rules/report/customers.yaml:4:19: policy "faults": hold_seconds (600) is not below decide_by_seconds (600); '
            "hold shorter or decide later"
        ),
    ),
    "quiet-hours-of-no-clock": (
        REPORT,
        "bases: [contract]",
        'quiet_hours: {start: "25:00", end: "07:00"}\n            bases: [contract]',
        (
            'rules/report/customers.yaml:4:26: policy "faults": quiet_hours.start has the wrong form; '
            "write it as ^([01][0-9]|2[0-3]):[0-5][0-9]$"
        ),
    ),
    "language-of-no-tag": (
        REPORT,
        "              en:",
        "              English:",
        (
            'rules/report/customers.yaml:7:7: policy "faults": texts.English: the key has the wrong form; '
            "write it as ^[a-z]{2}(-[A-Z]{2})?$"
        ),
    ),
    "unknown-zone": (
        CATALOGUE,
        "zone: Europe/Berlin",
        "zone: ../../etc/passwd",
        (
            'config/catalogue/all.yaml:5:25: site "north": unknown time zone "../../etc/passwd"; '
            "use a name of the IANA data base, such as Europe/Berlin or UTC"
        ),
    ),
    "zone-with-a-slip": (
        CATALOGUE,
        "zone: Europe/Berlin",
        "zone: Europe/Berln",
        (
            'config/catalogue/all.yaml:5:25: site "north": unknown time zone "Europe/Berln" '
            '(did you mean "Europe/Berlin"?); use a name of the IANA data base, such as Europe/Berlin or UTC'
        ),
    ),
    "site-within-itself": (
        CATALOGUE,
        "parent: north",
        "parent: east",
        'config/catalogue/all.yaml:6:26: site "east": the site lies within itself; correct the parents',
    ),
    "open-to-the-world-without-a-token": (
        CEMD,
        "intake:",
        "listen: {host: 0.0.0.0}\n        intake:",
        (
            "config/cemd.yaml:2:16: listen: listen.host is not loopback and push_token_file is missing; "
            "name a file with a token as listen.push_token_file, or listen on 127.0.0.1"
        ),
    ),
    "duplicate-source": (
        CEMD,
        "[counters]",
        "[counters, counters]",
        'config/cemd.yaml:3:20: intake: duplicate source "counters"; remove one of them',
    ),
    "weights-without-own-profile": (
        ANALYZE,
        "indicators:",
        "rater: {weights: {reliability: 1}}\n        indicators:",
        (
            "rules/analyze/core.yaml:1:18: rater: weights are given, but the profile is servqual_1990; "
            "write `profile: own`, or remove the weights"
        ),
    ),
    "secret-as-a-parameter": (
        PROBES,
        "take: {token:",
        'headers: {Authorization: "hush-hush"}, take: {token:',
        (
            'probes/core.yaml:16:74: probe "shop": "Authorization" holds a secret as a value; '
            "write it into a file that only cemd can read, and name that file under "
            "`header_files: {Authorization: …}`, or under `secret_files` in a transaction"
        ),
    ),
    "secret-as-a-value": (
        PROBES,
        "values: {core",
        "values: {shop_password: hush-hush, core",
        (
            'probes/core.yaml:1:25: values: "shop_password" holds a secret as a value; '
            "write it into a file that only cemd can read, and name that file as `shop_password_file`"
        ),
    ),
    "secret-in-a-url": (
        PROBES,
        'get: "/orders/{order}"',
        'get: "http://shop:hush-hush@pos/{order}"',
        (
            'probes/core.yaml:16:28: probe "shop": the URL holds a password; '
            "write it into a file that only cemd can read, and name that file with a key that ends in `_file`"
        ),
    ),
    "text-that-cannot-be-rendered": (
        REPORT,
        "A fault since {{ since }}.",
        "Dear {{ customer }}.",
        (
            'rules/report/customers.yaml:9:16: policy "faults": texts.en.first: line 1: nobody is named in a text; '
            "use only what `cemd explain policy` names"
        ),
    ),
    "subject-of-two-lines": (
        REPORT,
        "first_subject: Fault",
        'first_subject: "Fault\\nBcc: x"',
        (
            'rules/report/customers.yaml:8:24: policy "faults": texts.en.first_subject is not one line; '
            "write it on one line, in quotes"
        ),
    ),
    "not-yaml": (
        REPORT,
        "en:\n",
        "en: x: y\n",
        (
            "rules/report/customers.yaml:7:12: this is not YAML: mapping values are not allowed in this context; "
            "give every key a line of its own, and put a text that holds a colon in quotes"
        ),
    ),
    "alternatives-nobody-uses": (
        CATALOGUE,
        "owner: sales-operations",
        "owner: sales-operations\n            alternatives: {core: []}",
        (
            'config/catalogue/all.yaml:17:26: journey "order": touchpoint "core" does not exist; '
            "define it under `touchpoints:` or correct the name"
        ),
    ),
}
