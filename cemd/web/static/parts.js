// Parts that several pages share.
import { h } from "/static/dom.js";
import { aged, amount, badge, between, capital, count, exact, listed, metricWords, said, share, shape, sited, span, spokenWhole, standing, titled, when } from "/static/words.js";

export const panel = (title, side, ...body) =>
  h("section", { class: "panel", "aria-label": title }, h("div", { class: "panel-head" }, h("h2", {}, title), side), body);

export const fact = (name, ...value) => h("div", { class: "fact" }, h("dt", {}, name), h("dd", {}, value));

export const figure = (name, number, more) => h("div", { class: "fact figure" }, h("dt", {}, name), h("dd", {}, number, more ? h("small", {}, more) : null));

export const place = (subject) => (subject.site ? `${subject.title} at ${sited(subject.site)}` : subject.title);

// What an incident is called: its cause once one is named, until then what was hurt first.
const isKnown = ({ confidence, service }) => confidence !== "undetermined" && Boolean(service);
export const subjectOf = (incident) => {
  const { service, title, site } = incident.cause;
  return isKnown(incident.cause) ? `${title || titled(service)}${site ? ` at ${sited(site)}` : ""}` : place(incident.subject);
};

// A panel about one thing: its name is shown as it is written.
export const named = (title, side, ...body) => {
  const made = panel(title, side, ...body);
  made.classList.add("named");
  return made;
};

// TM Forum's first state is called acknowledged; for people it is new until somebody took it.
export const life = (incident) => {
  if (incident.open && incident.clear_since) return "recovering, all findings ended";
  return incident.state === "acknowledged" && !incident.acknowledged_by ? "new" : said(incident.state);
};

// Reasons, as people say them; a name stands beside its title once.
export function reasons(incident, most, mentioned = new Set()) {
  const words = incident.cause.reasons.slice(0, most).map((reason) => spokenWhole(reason, mentioned));
  return words.length ? h("ul", { class: "why" }, words.map((reason) => h("li", {}, reason))) : null;
}

export const seriesPath = (id, finding) => {
  const query = new URLSearchParams();
  if (finding) {
    const { threshold, since } = finding.evidence;
    if (threshold !== null) query.set("threshold", threshold);
    if (since) query.set("mark", since.epoch);
  }
  return `/series/${id}${query.size ? `?${query}` : ""}`;
};

// One finding in a line; `briefly` leaves out what its own page says as well.
// Which vantage points see it, where there are several.
const seenFrom = (failing, well, blind) =>
  [[failing, "seen from"], [well, "not from"], [blind, "blind:"]].filter(([who]) => who.length).map(([who, words]) => `${words} ${listed(who)}`).join(", ");

// When it began, as far back as the samples show it, and when it was found: it takes a while until it is sure.
export const begun = ({ began_at: found, evidence: { since } }, now) => (since && found.epoch - since.epoch >= 1
  ? ["since ", exact(since, now), ", found ", exact(found, now)]
  : ["since ", exact(found, now)]);

// The newest value; one that is not of now says how old it is.
const newest = (finding, now) => {
  const age = aged(finding.now_at, now), value = amount(finding.now, finding.unit);
  return age ? `last ${value}, ${age}` : `now ${value}`;
};

export function evidence(finding, now, briefly = false) {
  const { value, expected, threshold, low, high, series, failing, well, blind } = finding.evidence;
  const metric = finding.unit;
  const words = [];
  if (finding.now !== null) words.push(newest(finding, now));
  else if (value !== null) words.push(`${finding.phase === "ended" ? "at worst" : "was"} ${amount(value, metric)}`);
  if (threshold !== null) words.push(`objective ${amount(threshold, metric)}`);
  else if (low !== null && high !== null) words.push(`expected ${between(low, high, metric)}`);
  else if (expected !== null) words.push(`expected ${amount(expected, metric)}`);
  if (failing.length + well.length + blind.length > 1) words.push(seenFrom(failing, well, blind));
  const name = `${place(finding.subject)}: ${finding.indicator.includes("_") ? metricWords(finding.indicator) : finding.indicator || finding.probe || said(finding.condition)}`;
  if (!briefly || threshold === null) words.unshift(said(finding.condition));
  if (finding.condition === "silence") words.push(finding.evidence.note);
  return h("li", { "data-key": finding.id },
    shape(finding.quality, true), " ",
    series.length ? h("a", { href: seriesPath(series[0], finding), "data-link": true }, name) : name,
    words.length ? h("span", { class: "muted" }, ` ${words.join(", ")}`) : null,
    finding.evidence.samples && !briefly ? h("span", { class: "muted" }, ` (${count(finding.evidence.samples)} samples)`) : null);
}

// Why a probe failed, in the words of the attempt itself.
export const failed = (one, now) => h("p", { class: "muted" }, "Last failed attempt ", one.vantage ? `from ${one.vantage} ` : "", when(one.at, now, true), `: ${said(one.reason || one.outcome)}${one.detail ? `, ${one.detail}` : ""}`);

export const chartKey = (marked, objective) => h("p", { class: "muted key" },
  h("span", {}, h("i", { class: "key-line" }), "measured"), h("span", {}, h("i", { class: "key-band" }), "expected range (fainter: as of its first record)"), h("span", {}, h("i", { class: "key-usual" }), "expected value"),
  objective ? h("span", {}, h("i", { class: "key-objective" }), "objective") : null,
  h("span", {}, h("i", { class: "key-failed" }), "failed attempt"), h("span", {}, h("i", { class: "key-blind" }), "could not look"), marked ? h("span", {}, h("i", { class: "key-shade" }), marked) : null);

export function cause(incident) {
  const { confidence, score } = incident.cause;
  if (!isKnown(incident.cause)) return h("p", { class: "cause" }, h("span", { class: "tag" }, "undetermined"), " Cause not known yet.");
  const first = place(incident.subject);
  return h("p", { class: "cause" }, h("span", { class: `tag ${confidence}` }, `${confidence} cause`),
    h("span", { class: "muted" }, score > 0 && score <= 1 ? ` score ${score.toFixed(2)}` : "", first === subjectOf(incident) ? "" : `, first noticed on ${first}`));
}

export function impact(incident) {
  const { customers, peak_customers: peak, user_minutes: minutes, journeys, sites, moments_of_truth: truths, uncertainty } = incident.impact;
  return h("dl", { class: "facts" },
    figure("Customers hurt", count(customers), peak > customers ? ` ${count(peak)} at worst` : null),
    figure("User-minutes", count(minutes)),
    fact("Journeys", listed(journeys)),
    truths.length ? fact("Moments of truth", listed(truths)) : null,
    fact("Where", sites.length ? listed(sites, 4, sited) : "everywhere"),
    uncertainty ? h("div", { class: "fact" }, h("dt", {}, "Uncertain"), h("dd", { class: "light" }, uncertainty)) : null);
}

// Who is not told, but may be: a notice is on its way, or nobody knows whether it left.
const apart = (one) => [one.in_flight ? `, ${count(one.in_flight)} on the way` : "", one.unknown ? `, ${count(one.unknown)} unknown` : ""];

const stateOf = (one) => standing(one.state, one.told, one.in_flight, one.unknown);

// After a relapse nobody new is asked whether to be told: the audience is then smaller than those who heard of it before.
const heard = (one) => [h("strong", {}, count(one.told)), one.audience >= one.told ? ` of ${count(one.audience)} customers told` : ` ${one.told === 1 ? "customer" : "customers"} told`];

export function told(incident) {
  if (!incident.communications.length) return h("span", { class: "muted" }, "No customer communication.");
  return incident.communications.map((one) =>
    h("span", { class: "told", "data-key": one.id }, one.mode === "shadow" ? h("span", { class: "tag" }, "shadow") : null,
      one.audience || one.told
        ? [heard(one), apart(one), ["told", "unknown"].includes(stateOf(one)) ? "" : `, ${said(stateOf(one))}`]
        : `Customers: ${said(one.state)}, nobody told yet`));
}

export function incidentButtons(incident, all) {
  const button = (kind, words, style) => h("button", { type: "button", class: style, "data-command": kind, "data-subject": incident.id }, words);
  if (!incident.open) return all && incident.state === "resolved" ? h("div", { class: "buttons" }, button("close", "Close", "")) : null;
  return h("div", { class: "buttons" },
    incident.acknowledged_by ? h("span", { class: "done" }, `Acknowledged by ${incident.acknowledged_by}`) : button("acknowledge", "Acknowledge", "primary"),
    incident.confirmed_at
      ? h("span", { class: "done" }, "Cause confirmed", incident.confirmed_by ? ` by ${incident.confirmed_by}` : "")
      : incident.cause.service ? button("confirm", "Confirm cause", "") : null,
    all ? button("cancel", "Cancel", "quiet") : null);
}

// What is unusual and belongs to no open incident: why something is at risk.
export const loose = (findings, incidents) => {
  const taken = new Set(incidents.filter((one) => one.open).flatMap((one) => one.findings.map((finding) => finding.id)));
  return findings.filter((one) => one.phase !== "ended" && !taken.has(one.id));
};

// What a detector made can be labelled, so that it learns; a rule cannot.
export function labelButtons(finding) {
  if (!["anomaly", "drift", "forecast"].includes(finding.condition)) return null;
  if (finding.label) return h("p", { class: "muted" }, `labelled: ${finding.label === "benign" ? "new normal" : finding.label}`);
  return h("div", { class: "buttons" }, [["true", "A fault"], ["false", "No fault"], ["benign", "New normal"]].map(([label, words]) =>
    h("button", { type: "button", class: "quiet", "data-command": `label_${label}`, "data-subject": finding.id }, words)));
}

// What must happen before a communication that holds tells anybody.
const waitsFor = (one, incidents, now) => (incidents.some((incident) => one.incidents.includes(incident.id) && incident.confirmed_at)
  ? ["Nobody told yet: customers are told if it still lasts at ", exact(one.hold_until, now), "."]
  : ["Nobody told yet: waits until ", exact(one.decide_by, now), " for another independent source that sees it, or for a person who confirms the cause; else nobody is told."]);

// What was decided, and then nobody watched for a while.
const isPutOff = (one, now) => one.state === "telling" && one.decided_at && now && one.hold_until.epoch > Math.max(one.decided_at.epoch, now.epoch);
const putOff = (one, now) => (isPutOff(one, now) ? h("span", { class: "muted" }, " · nobody watched for a while: goes on at ", exact(one.hold_until, now)) : null);

// How many were told; of a policy in shadow, how many would have been.
const toldOf = (one) => (one.mode === "shadow" && !one.told
  ? [h("strong", {}, "0"), h("span", { class: "muted" }, ` told, for nothing leaves in shadow · ${count(one.audience)} would be told`)]
  : [h("strong", {}, count(one.told)), h("span", { class: "muted" }, one.audience >= one.told ? ` told of ${count(one.audience)}` : " told", apart(one))]);

export function communicationCard(one, now, allHeld, incidents = []) {
  const due = Object.entries(one.reasons).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  const states = Object.entries(one.states).filter(([, n]) => n > 0);
  const held = one.state === "held";
  const button = (kind, words, style) => h("button", { type: "button", class: style, "data-command": kind, "data-subject": one.id }, words);
  const buttons = [
    !one.ended_at && (held || one.reason === "ceiling" || allHeld) ? button("release", "Release", "") : null,
    ["holding", "held", "telling"].includes(one.state) ? button("decline", "Decline", "quiet") : null,
  ].filter(Boolean);
  return h("article", { class: `communication ${one.ended_at ? "over" : ""}`, "data-key": one.id },
    h("header", {},
      h("h3", {}, listed(one.services), one.sites.length ? ` at ${listed(one.sites, 4, sited)}` : ""),
      h("span", { class: `tag ${one.mode}` }, one.mode), h("span", { class: `tag ${held ? "held" : ""}` }, capital(said(stateOf(one))), one.reason ? `: ${said(one.reason)}` : ""),
      h("span", { class: "muted" }, `${said(one.phase)} · ${one.policy} · `, when(one.opened_at, now))),
    h("div", { class: "told-row" }, one.state === "holding" && !one.told ? h("span", {}, waitsFor(one, incidents, now)) : toldOf(one), putOff(one, now),
      states.length ? h("span", { class: "muted" }, ` · notices: ${states.map(([state, n]) => `${said(state)} ${count(n)}`).join(" · ")}`) : null),
    due.length ? h("ul", { class: "reasons" }, due.map(([reason, n]) => h("li", { "data-key": reason }, h("span", {}, said(reason)), h("span", { class: "number" }, count(n))))) : null,
    buttons.length ? h("div", { class: "buttons" }, buttons) : null);
}

export { badge, count, share, span };
