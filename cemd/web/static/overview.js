// The page that a control room leaves open.
import { h } from "/static/dom.js";
import { cause, communicationCard, evidence, impact, incidentButtons, life, panel, place, told } from "/static/parts.js";
import { STATES, badge, bar, capital, count, said, score, shape, share, spark, span, star, titled, when } from "/static/words.js";

const ORDER = ["down", "degraded", "at_risk", "unknown", "healthy"];

function cei(view) {
  const { cei: c } = view;
  const part = (name, value, weight) => h("li", { "data-key": name }, h("span", {}, name, h("span", { class: "muted" }, ` ${weight}`)), bar(value, heat(value)), h("span", { class: "number" }, score(value)));
  const group = (title, values) => {
    const entries = Object.entries(values);
    return entries.length ? [h("h3", {}, title), h("ul", { class: "meters" }, entries.map(([name, value]) =>
      h("li", { "data-key": `${title}-${name}` }, h("span", {}, name.length < 4 && title === "Domains" ? name.toUpperCase() : capital(name.replaceAll("-", " "))), bar(value, heat(value)), h("span", { class: "number" }, score(value)))))] : null;
  };
  return panel("Customer experience", null,
    h("div", { class: "cei" },
      h("div", { class: `cei-score ${heat(c.score)}` }, c.score === null ? "–" : c.score.toFixed(1)),
      h("div", { class: "cei-side" }, h("span", { class: "tag", title: c.calibrated ? "fitted to surveys" : "default weights, never fitted to a survey" }, c.calibrated ? "calibrated" : "uncalibrated"),
        spark(view.cei_trend, "Index"), h("span", { class: "muted" }, `of 100 · ${share(c.coverage)} covered`))),
    h("ul", { class: "meters" }, part("Network", c.network, ""), part("Operations", c.operations, ""), part("Design", c.design, "")),
    group("Journeys by purpose", c.macro_journeys), group("Domains", c.domains));
}

export const heat = (value) => (value === null || value === undefined ? "heat-none" : value >= 90 ? "heat-5" : value >= 80 ? "heat-4" : value >= 65 ? "heat-3" : value >= 40 ? "heat-2" : "heat-1");

export function journey(one) {
  return h("article", { class: "journey", "data-key": one.name },
    h("div", { class: "journey-head" },
      h("h3", {}, shape(one.quality, true), one.title || one.name),
      h("span", { class: "muted journey-about" }, one.capped ? "capped: a moment of truth is down" : said(one.stage)),
      spark(one.trend, one.title), h("span", { class: "number" }, score(one.score))),
    h("ol", { class: "steps" }, one.steps.map((step) =>
      h("li", { class: `step ${step.quality}`, "data-key": step.name, title: `${step.title || step.name}: ${STATES[step.quality]}, ${step.touchpoint}${step.weakest ? `, weakest ${titled(step.weakest)}` : ""}` },
        h("span", { class: "step-name" }, shape(step.quality, false), h("span", {}, step.title || step.name), step.moment_of_truth ? star() : null),
        h("span", { class: "step-state" }, STATES[step.quality], step.score === null ? "" : ` ${score(step.score)}`, step.weakest ? h("span", { class: "step-weakest" }, ` ${titled(step.weakest)}`) : null)))));
}

function rater(view) {
  const dimensions = ["responsiveness", "assurance", "tangibles", "empathy", "reliability"];
  const cell = (point, name) => {
    const part = point.rater.dimensions.find((one) => one.dimension === name);
    const value = part ? part.score : null;
    const thin = part && value !== null && part.coverage < 0.995;
    return h("td", { class: `heat ${heat(value)}`, title: part ? `${capital(name)}: ${score(value)}, ${share(part.coverage)} covered, ${part.samples} samples` : "no data" },
      value === null ? h("span", { "aria-label": "unknown" }, "–") : score(value), thin ? h("small", {}, share(part.coverage)) : null);
  };
  return panel("Service quality by touchpoint", h("span", { class: "muted" }, "RATER, 0 to 100"),
    !view.touchpoints.length ? nothing("No touchpoint is described yet: config/catalogue/ says where customers and company meet.") : h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of service quality" }, h("table", { class: "rater" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Touchpoint"), dimensions.map((name) => h("th", { scope: "col", class: "dimension" }, capital(name))), h("th", { scope: "col" }, "All"), h("th", { scope: "col" }, "Coverage"))),
      h("tbody", {}, view.touchpoints.map((point) => h("tr", { "data-key": point.name },
        h("th", { scope: "row" }, shape(point.quality, true), point.title || point.name),
        dimensions.map((name) => cell(point, name)),
        h("td", { class: "number" }, h("strong", {}, score(point.rater.score))),
        h("td", { class: "coverage" }, bar(point.rater.coverage * 100), share(point.rater.coverage))))))));
}

function services(view) {
  const rank = (one) => ORDER.indexOf(one.quality);
  const sorted = [...view.services].sort((a, b) => rank(a) - rank(b) || a.title.localeCompare(b.title));
  const counts = ORDER.map((state) => [state, sorted.filter((one) => one.quality === state).length]).filter(([, n]) => n);
  const list = panel("Services", h("span", { class: "counts" }, counts.map(([state, n]) => h("span", { "data-key": state, title: STATES[state] }, shape(state, true), n))),
    h("ul", { class: "services" }, sorted.map((one) => h("li", { "data-key": one.name, title: one.depends_on.length ? `stands on ${one.depends_on.map(titled).join(", ")}` : "" },
      shape(one.quality, true), h("span", { class: "service-name" }, one.title || one.name), h("span", { class: "muted" }, one.sold ? `${one.domain}, sold` : one.domain), h("span", { class: "number" }, score(one.score))))));
  list.classList.add("last");
  return list;
}

function incidentCard(one, now) {
  return h("article", { class: `incident ${one.quality}`, "data-key": one.id },
    h("header", {}, badge(one.quality), h("h3", {}, h("a", { href: `/incidents/${one.id}`, "data-link": true }, place(one.subject))),
      h("span", { class: "muted incident-about" }, `priority ${one.priority} · ${life(one)} · for ${span(now.epoch - one.first_hurt_at.epoch)} · since `, when(one.first_hurt_at, now))),
    cause(one),
    one.cause.reasons.length ? h("ul", { class: "why" }, one.cause.reasons.slice(0, 3).map((reason) => h("li", {}, reason))) : null,
    impact(one),
    one.findings.length ? h("ul", { class: "evidence" }, one.findings.slice(0, 4).map(evidence)) : null,
    h("footer", {}, h("div", { class: "told-side" }, told(one)), incidentButtons(one, false)));
}

function incidents(view) {
  const open = view.incidents.filter((one) => one.open);
  const over = view.incidents.filter((one) => !one.open).slice(0, 5);
  return panel("Incidents", h("span", { class: "muted" }, open.length ? `${open.length} open` : "none open"),
    open.length ? open.map((one) => incidentCard(one, view.at)) : h("p", { class: "empty" }, "Nothing is wrong that we can see."),
    over.length ? h("details", { class: "over", "data-key": "over", open: !open.length }, h("summary", {}, `${over.length} over`), h("ul", { class: "plain" }, over.map((one) =>
      h("li", { "data-key": one.id }, h("a", { href: `/incidents/${one.id}`, "data-link": true }, place(one.subject)),
        h("span", { class: "muted" }, ` ${said(one.state)}, lasted ${span((one.clear_since || one.changed_at).epoch - one.first_hurt_at.epoch)}, ${count(one.impact.customers)} customers`))))) : null);
}

function communications(view) {
  const open = view.communications.filter((one) => !one.ended_at);
  const over = view.communications.filter((one) => one.ended_at).slice(0, 5);
  return panel("Customers told", h("span", { class: "muted" }, `${count(view.customers)} customers`),
    open.length || over.length ? null : h("p", { class: "empty" }, "Nobody had to be told anything."),
    open.map((one) => communicationCard(one, view.at, view.sending_held)),
    over.length ? h("details", { class: "over", "data-key": "over", open: !open.length }, h("summary", {}, `${over.length} ended`), over.map((one) => communicationCard(one, view.at))) : null);
}

const nothing = (words) => h("p", { class: "empty" }, words);
const legend = () => h("span", { class: "muted legend" }, star(), " moment of truth");

export const overview = {
  title: () => "Overview",
  async load() {
    return {};
  },
  draw(view) {
    return h("div", { class: "wall" },
      h("div", { class: "column side" }, cei(view), services(view)),
      h("div", { class: "column" }, incidents(view), communications(view)),
      h("div", { class: "column" }, panel("Journeys", legend(), view.journeys.length ? h("div", { class: "journeys" }, view.journeys.map(journey)) : nothing("No journey is described yet: config/catalogue/ says what customers try to get done.")), rater(view)));
  },
};
