// One incident: time line, evidence, cause with rivals, impact, communications.
import { h, picture } from "/static/dom.js";
import { cause, chartKey, communicationCard, evidence, fact, failed, impact, incidentButtons, life, panel, place } from "/static/parts.js";
import { badge, listed, span, when } from "/static/words.js";

const chartOf = (finding, now) => {
  const { series, since, threshold } = finding.evidence;
  const from = since ? since.epoch : finding.began_at.epoch;
  const back = Math.max(1200, (now.epoch - from) * 2);
  const query = new URLSearchParams({ since: (now.epoch - back).toFixed(0), mark_from: from, points: 600, fit: true });
  if (threshold !== null) query.set("threshold", threshold);
  return `/api/v1/series/${series[0]}/chart.svg?${query}`;
};

export function incidentPage(id) {
  return {
    title: () => id,
    async load(get, text) {
      const document = await get(`/api/v1/incidents/${encodeURIComponent(id)}`);
      const shown = document.incident.findings.filter((one) => one.evidence.series.length).slice(0, 4);
      const charts = await Promise.all(shown.map(async (one) => [one.id, await text(chartOf(one, document.at)).catch(() => null)]));
      const probes = [...new Set(document.incident.findings.map((one) => one.probe).filter(Boolean))].slice(0, 8);
      const failures = await Promise.all(probes.map(async (name) => [name, await get(`/api/v1/probes/${encodeURIComponent(name)}`).then((found) => found.failures[0]).catch(() => null)]));
      return { document, charts: new Map(charts), failures: new Map(failures) };
    },
    draw(view, { document, charts, failures }) {
      const one = document.incident, now = document.at;
      const communications = view.communications.filter((item) => item.incidents.includes(one.id));
      return h("div", { class: "one" },
        h("div", { class: "one-head" },
          h("p", { class: "muted" }, h("a", { href: "/", "data-link": true }, "Overview"), ` / incident ${one.id}`),
          h("h1", {}, badge(one.quality), place(one.subject)),
          h("p", { class: "muted" }, `priority ${one.priority} · ${life(one)} · hurt since `, when(one.first_hurt_at, now), ` · ${one.open ? `for ${span(now.epoch - one.first_hurt_at.epoch)}` : "over"}`,
            one.reopened ? ` · reopened ${one.reopened} times` : "", one.planned ? " · planned work" : ""),
          incidentButtons(one, true)),
        h("div", { class: "two" },
          h("div", { class: "column" },
            panel("Evidence", h("span", { class: "muted" }, `${one.findings.length} open findings`),
              one.findings.length ? one.findings.map((finding) => h("div", { class: "proof", "data-key": finding.id },
                h("ul", { class: "evidence" }, evidence(finding)),
                failures.get(finding.probe) ? failed(failures.get(finding.probe), now) : null,
                charts.get(finding.id) ? picture(charts.get(finding.id)) : null)) : h("p", { class: "empty" }, "No finding is open."),
              charts.size ? chartKey(true) : null,
              one.past_findings.length ? h("p", { class: "muted" }, `Ended: ${one.past_findings.join(", ")}`) : null),
            panel("Time line", null, h("ol", { class: "timeline" }, [...one.timeline].reverse().map((item) =>
              h("li", { "data-key": `${item.seq}-${item.what}` }, when(item.at, now), h("span", {}, item.what, h("span", { class: "muted" }, item.by ? ` ${item.by}` : "")))),
              one.timeline.length ? null : h("li", {}, "nothing noted yet")))),
          h("div", { class: "column" },
            panel("Cause", null, cause(one),
              one.cause.reasons.length ? h("ul", { class: "why" }, one.cause.reasons.map((reason) => h("li", {}, reason))) : null,
              one.cause.rivals.length ? [h("h3", {}, "Rivals"), h("ul", { class: "why" }, one.cause.rivals.map((rival) => h("li", {}, rival)))] : null),
            panel("Impact", null, impact(one),
              h("dl", { class: "facts" }, fact("Services", listed(one.impact.services, 12)), fact("Touchpoints", listed(one.impact.touchpoints, 12)), fact("Steps", listed(one.impact.steps, 12)))),
            panel("Customers told", null, communications.length ? communications.map((item) => communicationCard(item, now, view.sending_held)) : h("p", { class: "empty" }, "No communication belongs to this incident.")),
            h("p", {}, h("a", { href: `/explain/${one.id}`, "data-link": true }, "Explain: the chain from sample to message")))));
    },
  };
}
