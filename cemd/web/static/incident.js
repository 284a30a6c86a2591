// One incident: time line, evidence, cause with rivals, impact, communications.
import { h, picture, room } from "/static/dom.js";
import { begun, cause, chartKey, communicationCard, evidence, fact, failed, impact, incidentButtons, labelButtons, life, panel, reasons, subjectOf } from "/static/parts.js";
import { badge, exact, listed, many, span, spokenWhole } from "/static/words.js";

const MOST_CHARTS = 6;

// Of findings on the same series one chart is enough.
function charted(findings) {
  const seen = new Set();
  return findings.filter(({ evidence: { series } }) => series.length && !seen.has(series[0]) && seen.add(series[0])).slice(0, MOST_CHARTS);
}

// The time of the finding in the middle of what was before and after.
const chartOf = (finding, now) => {
  const { series, since, threshold } = finding.evidence;
  const ended = finding.phase === "ended" ? finding.changed_at.epoch : null;
  const from = since ? since.epoch : finding.began_at.epoch, until = ended || now.epoch;
  const around = Math.max(120, (until - from) / 2);
  const width = room(".proof", 560);
  const query = new URLSearchParams({ since: (from - Math.max(around, 300)).toFixed(0), until: Math.min(now.epoch + 1, ended ? ended + around : Infinity).toFixed(0), mark_from: from, points: 600, fit: true, width, height: 200 });
  if (ended) query.set("mark_until", ended);
  if (threshold !== null) query.set("threshold", threshold);
  return `/api/v1/series/${series[0]}/chart.svg?${query}`;
};

// Whether staff know of it, route by route, and who took it.
const staffTold = ({ incident, staff, unheard }, now) => [
  staff.length ? h("ul", { class: "why" }, staff.map((one) => h("li", { "data-key": `${one.route}/${one.channel}` }, `Route ${one.route}, by ${one.channel}: ${one.says}`,
    one.told_at ? h("span", { class: "muted" }, " last ", exact(one.told_at, now)) : null)))
    : h("p", { class: "empty" }, unheard ? `Nobody was told: ${unheard}.` : "Nobody was told yet."),
  staff.length ? h("p", { class: "muted" }, incident.acknowledged_by ? `Acknowledged by ${incident.acknowledged_by}.` : incident.open ? "Nobody has acknowledged it yet." : "Nobody acknowledged it.") : null];

// How the probe failed last, as far as who sees the finding says so; silence made no attempt.
const failureOf = (finding, failures = [], now) => {
  const seen = finding.evidence.failing, one = failures.find((each) => !seen.length || !each.vantage || seen.includes(each.vantage));
  return one && finding.condition !== "silence" ? failed(one, now) : null;
};

export function incidentPage(id) {
  return {
    title: () => id,
    async load(get, text) {
      const own = `/api/v1/incidents/${encodeURIComponent(id)}`;
      const [document, all] = await Promise.all([get(own), get(`${own}/findings`)]);
      const open = document.incident.findings, ended = all.items.filter((one) => !open.some((other) => other.id === one.id));
      const shown = charted(open.length ? open : ended);
      const charts = await Promise.all(shown.map(async (one) => [one.id, await text(chartOf(one, document.at)).catch(() => null)]));
      const probes = [...new Set([...open, ...ended].map((one) => one.probe).filter(Boolean))].slice(0, 8);
      const failures = await Promise.all(probes.map(async (name) => [name, await get(`/api/v1/probes/${encodeURIComponent(name)}`).then((found) => found.failures).catch(() => [])]));
      return { document, open, ended, charts: new Map(charts), failures: new Map(failures) };
    },
    draw(view, { document, open, ended, charts, failures }) {
      const one = document.incident, now = document.at;
      const communications = view.communications.filter((item) => item.incidents.includes(one.id));
      const lasted = (one.open ? now : one.clear_since || one.changed_at).epoch - one.first_hurt_at.epoch;
      const mentioned = new Set();
      const proof = (finding) => h("div", { class: "proof", "data-key": finding.id },
        h("ul", { class: "evidence" }, evidence(finding, now)),
        h("p", { class: "muted" }, begun(finding, now), finding.phase === "ended" ? [", ended ", exact(finding.changed_at, now)] : null),
        failureOf(finding, failures.get(finding.probe), now),
        labelButtons(finding),
        charts.get(finding.id) ? picture(charts.get(finding.id)) : null);
      return h("div", { class: "one" },
        h("header", { class: "one-head" },
          h("p", { class: "muted" }, h("a", { href: "/", "data-link": true }, "Overview"), ` / incident ${one.id}`),
          h("h1", {}, one.open ? badge(one.quality) : h("span", { class: "badge ended" }, "Over"), subjectOf(one)),
          h("p", { class: "muted" }, one.open ? `priority ${one.priority} · ` : "", `${life(one)} · hurt for ${span(lasted)}, from `, exact(one.first_hurt_at, now), one.clear_since ? [" to ", exact(one.clear_since, now)] : "",
            one.reopened ? ` · reopened ${one.reopened === 1 ? "once" : `${one.reopened} times`}` : "", one.planned ? " · planned work" : ""),
          incidentButtons(one, true)),
        h("div", { class: "two" },
          h("div", { class: "column" },
            panel("Evidence", h("span", { class: "muted" }, [open.length ? `${many(open.length, "finding")} open` : "", ended.length ? `${ended.length} ended` : ""].filter(Boolean).join(", ")),
              open.length ? h("div", { class: "proofs" }, open.map(proof)) : null,
              open.length && ended.length ? h("details", { class: "over", "data-key": "ended" }, h("summary", {}, `${many(ended.length, "finding")} ended`), h("div", { class: "proofs" }, ended.map(proof)))
                : ended.length ? h("div", { class: "proofs" }, ended.map(proof)) : null,
              open.length || ended.length ? null : h("p", { class: "empty" }, "No finding is known any more."),
              charts.size ? chartKey(open.length ? "since the finding began" : "while the finding held", [...open, ...ended].some((finding) => charts.get(finding.id) && finding.evidence.threshold !== null)) : null),
            panel("Time line", null, one.timeline.length ? h("ol", { class: "timeline" }, [...one.timeline].reverse().map((item) =>
              h("li", { "data-key": `${item.seq}-${item.what}` }, exact(item.at, now), h("span", {}, spokenWhole(item.what, null), item.by && item.by !== "cemd" ? h("span", { class: "muted" }, ` ${item.by}`) : null))))
              : h("p", { class: "empty" }, "Nothing is noted yet."))),
          h("div", { class: "column" },
            panel("Cause", null, cause(one), reasons(one, 99, mentioned),
              one.cause.rivals.length ? [h("h3", {}, one.cause.confidence === "undetermined" ? "Candidates" : "Less likely"), h("ul", { class: "why" }, one.cause.rivals.map((rival) => h("li", {}, spokenWhole(rival, mentioned))))] : null),
            panel("Impact", null, impact(one),
              h("dl", { class: "facts" }, fact("Services", listed(one.impact.services, 12)), fact("Touchpoints", listed(one.impact.touchpoints, 12)), fact("Steps", listed(one.impact.steps, 12)))),
            panel("Staff told", null, staffTold(document, now)),
            panel("Customers told", null, communications.length ? communications.map((item) => communicationCard(item, now, view.sending_held, view.incidents)) : h("p", { class: "empty" }, "No communication belongs to this incident.")),
            h("p", {}, h("a", { href: `/explain/${one.id}`, "data-link": true }, "Explain: the chain from sample to message")))));
    },
  };
}
