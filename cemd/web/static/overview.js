// The page that a control room leaves open.
import { h } from "/static/dom.js";
import { begun, cause, communicationCard, evidence, impact, incidentButtons, labelButtons, life, loose, panel, reasons, subjectOf, told } from "/static/parts.js";
import { tipped, tippedCell } from "/static/tip.js";
import { STATES, badge, bar, capital, count, exact, many, said, score, shape, share, spark, span, spoken, star, titled } from "/static/words.js";

const ORDER = ["down", "degraded", "at_risk", "unknown", "healthy"];

const WHAT = { network: "the services that are sold, by what they stand on", operations: "the journeys, by business domain", design: "how products and touchpoints are made" };

// What the index is made of, a line each.
function madeOf(c) {
  const percent = (name) => (c.weights[name] ? `, ${+(c.weights[name] * 100).toPrecision(3)} % of the weight` : "");
  const parts = ["network", "operations", "design"].map((name) => `${capital(name)} (${WHAT[name]}${percent(name)}): ${c[name] === null ? "not measured, left out" : c[name].toFixed(1)}`);
  return [...parts, `Measurements stand behind ${share(c.coverage)} of the weight`, c.calibrated ? "The weights were fitted to surveys" : "Uncalibrated: the weights are a default, never fitted to surveys"];
}

// The state of everything in one sentence, readable from across the room.
function sentence(view) {
  const of = (list, ...states) => list.filter((one) => states.includes(one.quality)).length;
  const stillOpen = view.incidents.filter((one) => one.open), open = stillOpen.length;
  const recovering = stillOpen.every((one) => one.clear_since) ? ", recovering" : "";
  const [only] = view.services;
  if (!view.journeys.length && view.services.length === 1 && (!open || only.quality !== "healthy")) return [`${only.title || only.name}: ${STATES[only.quality].toLowerCase()}`, only.quality];
  const [list, noun] = view.journeys.length ? [view.journeys, "journey"] : [view.services, "service"];
  const hurt = of(list, "down", "degraded"), well = of(list, "healthy"), risk = of(list, "at_risk"), all = list.length;
  if (hurt) return [hurt === all ? (all > 1 ? `All ${many(all, noun)} are hurt` : `The only ${noun} is hurt`) : `${hurt} of ${many(all, noun)} ${hurt > 1 ? "are" : "is"} hurt`, of(list, "down") ? "down" : "degraded"];
  if (risk || open) return [[risk ? `${risk} of ${many(all, noun)} at risk` : "", open ? `${many(open, "incident")} open${recovering}` : ""].filter(Boolean).join(", "), "at_risk"];
  if (!well) return [all ? "Nothing is known yet" : "Nothing is watched yet", "unknown"];
  return [well === all ? (all > 1 ? `All ${many(all, noun)} are well` : `The only ${noun} is well`) : `${well} of ${many(all, noun)} are well, of the rest too little is known`, "healthy"];
}

// What stands under it: who is hurt and who knows of it, or when it was last otherwise.
function meanwhile(view) {
  const open = view.incidents.filter((one) => one.open);
  if (!open.length) {
    const last = view.incidents.reduce((latest, one) => (one.resolved_at && (!latest || one.resolved_at.epoch > latest.epoch) ? one.resolved_at : latest), null);
    return [`${many(view.services.length, "service")}, ${many(view.series, "series", "series")} watched`, last ? [" · last incident over at ", exact(last, view.at)] : ""];
  }
  const sum = (values) => count(values.reduce((total, one) => total + one, 0));
  const first = open.reduce((one, other) => (other.first_hurt_at.epoch < one.first_hurt_at.epoch ? other : one)).first_hurt_at;
  const told = view.communications.filter((one) => one.incidents.some((id) => open.some((incident) => incident.id === id)));
  const people = view.customers ? `${sum(open.map((one) => one.impact.customers))} customers hurt now · ${sum(told.map((one) => one.told))} told` : many(open.length, "incident");
  return [`${people} · since `, exact(first, view.at)];
}

function headline(view) {
  const { cei: c, cei_trend: trend } = view;
  const [words, state] = sentence(view);
  const minutes = Math.round(((trend.length - 1) * view.trend_seconds) / 60);
  const index = c.score === null ? "Too little is measured for an index" : `Customer experience index ${c.score.toFixed(1)} of 100`;
  return h("header", { class: `headline ${state}` },
    h("div", { class: "headline-state" }, shape(state, true), h("div", {}, h("h1", { "aria-live": "polite" }, words), h("p", { class: "muted" }, meanwhile(view)))),
    h("div", { class: "cei" },
      h("div", { class: "cei-trend" }, spark(trend, "Index"), h("p", { class: "muted" }, c.score === null ? "too little is measured" : `${share(c.coverage)} measured${minutes >= 1 ? ` · last ${minutes} min` : ""}`)),
      h("span", { class: `cei-score ${heat(c.score)}` }, c.score === null ? "–" : c.score.toFixed(1)),
      h("div", { class: "cei-side" }, tipped("help", index, madeOf(c), "CEI, of 100"), h("span", { class: "tag" }, c.calibrated ? "calibrated" : "uncalibrated"))));
}

function parts(view) {
  const { cei: c } = view;
  const meter = (name, value, key) => h("li", { "data-key": key }, h("span", {}, name), value === null ? h("span", { class: "unmeasured" }, "not measured") : [bar(value, heat(value)), h("span", { class: "number" }, score(value))]);
  const group = (title, values) => {
    const entries = Object.entries(values);
    return entries.length ? [h("h3", {}, title), h("ul", { class: "meters" }, entries.map(([name, value]) =>
      meter(name.length < 4 && title === "Domains" ? name.toUpperCase() : capital(name.replaceAll("-", " ")), value, `${title}-${name}`)))] : null;
  };
  return panel("Customer experience", h("span", { class: "muted" }, "0 to 100"),
    h("ul", { class: "meters" }, meter("Network", c.network, "network"), meter("Operations", c.operations, "operations"), meter("Design", c.design, "design")),
    group("Journeys by purpose", c.macro_journeys), group("Domains", c.domains));
}

export const heat = (value) => (value === null || value === undefined ? "heat-none" : value >= 90 ? "heat-5" : value >= 80 ? "heat-4" : value >= 65 ? "heat-3" : value >= 40 ? "heat-2" : "heat-1");

export function journey(one) {
  return h("article", { class: "journey", "data-key": one.name },
    h("div", { class: "journey-head" },
      h("h3", {}, shape(one.quality, true), one.title || one.name),
      one.capped ? h("span", { class: "muted journey-about" }, "a moment of truth is down") : null),
    spark(one.trend, one.title), h("span", { class: "journey-score number" }, score(one.score)),
    h("ol", { class: "steps" }, one.steps.map((step) =>
      h("li", { class: `step ${step.quality}`, "data-key": step.name, title: `${step.title || step.name}: ${STATES[step.quality]}, ${step.touchpoint}${step.weakest ? `, weakest ${titled(step.weakest)}` : ""}` },
        h("span", { class: "step-name" }, shape(step.quality, false), h("span", {}, step.title || step.name), step.moment_of_truth ? star() : null),
        h("span", { class: "step-state" }, STATES[step.quality], step.score === null ? "" : ` ${score(step.score)}`, step.weakest ? h("span", { class: "step-weakest" }, ` ${titled(step.weakest)}`) : null)))));
}

const RATER = {
  responsiveness: "How quickly it answers and helps", assurance: "Whether it can be trusted: correct, safe, competent", tangibles: "What the customer sees and touches",
  empathy: "Whether it suits this customer's need", reliability: "Whether it does what was promised",
};

function rater(view) {
  const dimensions = ["responsiveness", "assurance", "tangibles", "empathy", "reliability"];
  const cell = (point, name) => {
    const part = point.rater.dimensions.find((one) => one.dimension === name);
    const value = part ? part.score : null;
    const thin = part && value !== null && part.coverage < 0.995;
    const words = `${point.title || point.name}, ${name}: ${value === null ? "not measured" : `${score(value)} of 100`}`;
    const more = [RATER[name], part && part.indicators.length ? `Indicators: ${part.indicators.join(", ")}` : "No indicator measures it here",
      ...(value === null ? [] : [`${count(part.samples)} samples in their windows, ${share(part.coverage)} of their weight measured`])];
    return h("td", { class: `heat ${heat(value)}` }, tippedCell(point === view.touchpoints[0] && name === dimensions[0], words, more, value === null ? "–" : score(value), thin ? h("small", {}, share(part.coverage)) : null));
  };
  return panel("Service quality by touchpoint", h("span", { class: "muted" }, "RATER, 0 to 100"),
    !view.touchpoints.length ? nothing("No touchpoint is described yet: config/catalogue/ says where customers and company meet.") : h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of service quality; arrow keys move from cell to cell" }, h("table", { class: "rater", role: "grid", "aria-label": "Service quality by touchpoint" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Touchpoint"), dimensions.map((name) => h("th", { scope: "col", class: "dimension" }, capital(name))), h("th", { scope: "col", class: "number" }, "All"), h("th", { scope: "col", class: "number" }, "Measured"))),
      h("tbody", {}, view.touchpoints.map((point) => h("tr", { "data-key": point.name },
        h("th", { scope: "row" }, shape(point.quality, true), point.title || point.name),
        dimensions.map((name) => cell(point, name)),
        h("td", { class: "number" }, h("strong", {}, score(point.rater.score))),
        h("td", { class: "coverage" }, share(point.rater.coverage))))))));
}

// Green by what it stands on alone: nobody may take that for a measurement of the service.
const borrowed = (one) => (one.own_score === null && one.score !== null ? h("span", { class: "muted" }, " not measured itself") : null);

function services(view) {
  const rank = (one) => ORDER.indexOf(one.quality);
  const sorted = [...view.services].sort((a, b) => rank(a) - rank(b) || a.title.localeCompare(b.title));
  const counts = ORDER.map((state) => [state, sorted.filter((one) => one.quality === state).length]).filter(([, n]) => n);
  const well = sorted.filter((one) => one.quality === "healthy"), others = sorted.filter((one) => one.quality !== "healthy");
  const needs = (one) => (one.depends_on.length ? `stands on ${one.depends_on.map(titled).join(", ")}` : "");
  return panel("Services", h("span", { class: "counts" }, counts.map(([state, n]) => h("span", { "data-key": state }, shape(state, true), n))),
    others.length ? h("ul", { class: "services" }, others.map((one) => h("li", { "data-key": one.name, title: needs(one) },
      shape(one.quality, true), h("span", { class: "service-name" }, one.title || one.name), h("span", { class: "muted" }, one.sold ? `${one.domain}, sold` : one.domain), h("span", { class: "number" }, score(one.score))))) : null,
    well.length ? h("ul", { class: "well", "aria-label": "Healthy services" }, well.map((one) => h("li", { "data-key": one.name, title: needs(one) }, shape("healthy", false), one.title || one.name, borrowed(one), one.score !== null && one.score < 99.5 ? h("span", { class: "muted" }, ` ${score(one.score)}`) : null))) : null);
}

// From where it is measured; one alone needs no list while it is heard.
function vantages(view) {
  const all = view.vantages, silent = all.filter((one) => one.silent_since);
  if (all.length < 2 && !silent.length) return null;
  const heard = (one) => (one.silent_since
    ? [one.heard_at ? "nothing since " : "never heard, waited for since ", exact(one.silent_since, view.at)]
    : one.heard_at ? `heard ${span(view.at.epoch - one.heard_at.epoch)} ago` : ["waited for since ", exact(one.expected_since, view.at)]);
  return panel("Vantage points", h("span", { class: "muted" }, silent.length ? `${silent.length} of ${all.length} not heard` : `all ${all.length} heard`),
    h("ul", { class: "plain" }, all.map((one) => h("li", { "data-key": one.name, title: `${many(one.probes, "probe")} of ${one.services.map(titled).join(", ")}` },
      shape(one.silent_since || !one.heard_at ? "unknown" : "healthy", true), ` ${one.title} `, h("span", { class: "muted" }, heard(one))))));
}

// What was found on the cause itself tells most.
const causeFirst = (one) => [...one.findings].sort((a, b) => (b.subject.name === one.cause.service) - (a.subject.name === one.cause.service));

function incidentCard(one, now) {
  return h("article", { class: `incident ${one.quality}`, "data-key": one.id },
    h("header", {}, badge(one.quality), h("h3", {}, h("a", { href: `/incidents/${one.id}`, "data-link": true }, subjectOf(one))),
      h("span", { class: "muted incident-about" }, `priority ${one.priority} · ${life(one)} · for ${span(now.epoch - one.first_hurt_at.epoch)} · since `, exact(one.first_hurt_at, now))),
    cause(one),
    reasons(one, 3),
    impact(one),
    one.findings.length ? h("ul", { class: "evidence" }, causeFirst(one).slice(0, 4).map((finding) => evidence(finding, now, true)), one.findings.length > 4 ? h("li", { class: "muted" }, `and ${one.findings.length - 4} more`) : null) : null,
    h("footer", {}, h("div", { class: "told-side" }, told(one)), incidentButtons(one, false)));
}

function incidents(view) {
  const open = view.incidents.filter((one) => one.open);
  const over = view.incidents.filter((one) => !one.open).sort((a, b) => (a.state === "cancelled") - (b.state === "cancelled") || b.changed_at.epoch - a.changed_at.epoch).slice(0, 5);
  return panel("Incidents", h("span", { class: "muted" }, open.length ? `${open.length} open` : "none open"),
    open.length ? open.map((one) => incidentCard(one, view.at)) : h("p", { class: "empty" }, "No incident is open."),
    over.length ? h("details", { class: "over", "data-key": "over", open: !open.length }, h("summary", {}, `${over.length} over`), h("ul", { class: "plain" }, over.map((one) =>
      h("li", { "data-key": one.id }, h("a", { href: `/incidents/${one.id}`, "data-link": true }, subjectOf(one)),
        h("span", { class: "muted" }, ` ${said(one.state)}, hurt for ${span((one.clear_since || one.changed_at).epoch - one.first_hurt_at.epoch)}, ${count(Math.max(one.impact.customers, one.impact.peak_customers))} customers`))))) : null);
}

const MOST_WARNINGS = 6;

// Why something is at risk though no incident is open about it; nothing is shown where nothing is.
function warnings(view, findings) {
  const rank = (one) => ORDER.indexOf(one.quality);
  const all = loose(findings, view.incidents).filter((one) => one.subject.kind !== "vantage").sort((a, b) => rank(a) - rank(b) || b.began_at.epoch - a.began_at.epoch);
  if (!all.length) return null;
  return panel("Warnings", h("span", { class: "muted" }, `${count(all.length)} in no open incident`),
    h("ul", { class: "evidence" }, all.slice(0, MOST_WARNINGS).map((one) => [evidence(one, view.at), h("li", { class: "muted", "data-key": `why-${one.id}` },
      begun(one, view.at), " · ", h("a", { href: `/explain/${one.id}`, "data-link": true }, `explain ${one.id}`),
      one.waits ? h("p", { class: "waits" }, "Opens no incident yet: ", spoken(one.waits)) : null, labelButtons(one))]),
    all.length > MOST_WARNINGS ? h("li", { class: "muted" }, `and ${many(all.length - MOST_WARNINGS, "other")}`) : null));
}

function communications(view) {
  const open = view.communications.filter((one) => !one.ended_at);
  const over = view.communications.filter((one) => one.ended_at).slice(0, 5);
  return panel("Customers told", h("span", { class: "muted" }, `${count(view.customers)} customers`),
    open.length || over.length ? null : h("p", { class: "empty" }, view.customers ? "Nobody had to be told anything." : "No customer is known: customers in config/cemd.yaml names their file."),
    open.map((one) => communicationCard(one, view.at, view.sending_held, view.incidents)),
    over.length ? h("details", { class: "over", "data-key": "over", open: !open.length }, h("summary", {}, `${over.length} ended`), over.map((one) => communicationCard(one, view.at))) : null);
}

const nothing = (words) => h("p", { class: "empty" }, words);
const legend = () => h("span", { class: "muted legend" }, star(), " moment of truth");

export const overview = {
  title: () => "Overview",
  async load(get) {
    return { findings: (await get("/api/v1/findings?limit=200")).items };
  },
  draw(view, { findings }) {
    return h("div", {}, headline(view), h("div", { class: "wall" },
      h("div", { class: "column" }, incidents(view), warnings(view, findings), communications(view)),
      h("div", { class: "column" }, panel("Journeys", legend(), view.journeys.length ? h("div", { class: "journeys" }, view.journeys.map(journey)) : nothing("No journey is described yet: config/catalogue/ says what customers try to get done.")), rater(view)),
      h("div", { class: "column side" }, parts(view), services(view), vantages(view))));
  },
};
