// Pick a series, see it with its expected band.
import { h, picture, room } from "/static/dom.js";
import { chartKey, fact, failed, named, panel } from "/static/parts.js";
import { aged, amount, between, count, exact, metricWords, said, titled, trace, when } from "/static/words.js";

const SPANS = { "15 min": 900, "1 h": 3600, "6 h": 21600, "1 d": 86400, "7 d": 604800 };

const rarity = (p) => (p === null ? "–" : p >= 0.05 ? "ordinary" : `1 in ${count(1 / Math.max(p, 1e-12))}`);

// What to look at when nothing was asked for: what is least like itself, each with its last quarter of an hour.
function notables(items, now) {
  if (!items.length) return panel("Least usual now", null, h("p", { class: "empty" }, "Of no series enough is known yet to say what is usual. Choose one by its name."));
  return panel("Least usual now", h("span", { class: "muted" }, "last 15 min, the expected band behind"),
    h("ul", { class: "notables" }, items.map((one) => h("li", { "data-key": String(one.id) },
      h("a", { href: `/series/${one.id}`, "data-link": true }, h("strong", {}, one.probe), ` ${metricWords(one.metric)}`),
      h("span", { class: "muted" }, one.service ? titled(one.service) : ""),
      trace(one.trend, one.low, one.high, `${one.probe} ${metricWords(one.metric)}, last 15 min`),
      h("p", { class: "muted" }, h("strong", {}, amount(one.value, one.metric)), aged(one.last_at, now) ? `, ${aged(one.last_at, now)}` : "", one.low === null ? "" : `, expected ${between(one.low, one.high, one.metric)}`, ` · ${one.tail_probability >= 0.05 ? "ordinary" : `as rare as ${rarity(one.tail_probability)}`}`)))));
}

// What became of a run that was asked for: said until the page is left.
function ran(asked, one, now) {
  if (!asked) return "";
  if (asked.since !== lastAt(one)) return ["New measurement: ", h("strong", {}, amount(one.value, one.metric)), `, ${said(one.outcome)}, `, exact(one.last_at, now)];
  if (!asked.probers) return "No prober was there to run it; it runs as planned once one is back.";
  return asked.active ? "Asked; waiting for what it measures." : "Asked; but now is outside of its times, so it does not measure.";
}

// Who asked for runs lately, and what was refused.
function askers(runs, now) {
  if (!runs.length) return null;
  return h("ul", { class: "muted" }, runs.slice(0, 3).map((one) => h("li", {}, one.reason ? "Run refused to " : "Run asked for by ", h("strong", {}, one.actor || "somebody"), ", ", exact(one.at, now),
    one.note ? `: ${one.note}` : "", one.reason ? ` · ${one.reason}` : "")));
}

const lastAt = (one) => (one.last_at ? one.last_at.epoch : null);

export function seriesPage(id) {
  let asked = null;
  let shown = null;
  return {
    title: () => "Series",
    obeyed(answer) { asked = { ...answer, since: shown }; },
    async load(get, text, params) {
      const q = params.get("q") || "";
      const seconds = SPANS[params.get("span")] || 3600;
      const list = await get(`/api/v1/series?limit=60&q=${encodeURIComponent(q)}`);
      if (!id) return { list, q, notable: (await get("/api/v1/notable?limit=12")).items };
      const until = list.at.epoch;
      const mark = Number(params.get("mark"));
      const since = until - (params.get("span") ? seconds : Math.max(3600, mark ? (until - mark) * 1.5 : 0));
      const query = new URLSearchParams({ since: since.toFixed(0), until: until.toFixed(0), points: 900, width: room(".chart-box", 1200), height: innerWidth < 700 ? 240 : 360 });
      if (!params.get("span")) query.set("fit", true);
      if (params.get("threshold")) query.set("threshold", params.get("threshold"));
      if (mark) query.set("mark_from", mark);
      const own = `/api/v1/series/${encodeURIComponent(id)}`;
      const [document, chart] = await Promise.all([get(`${own}?points=10`), text(`${own}/chart.svg?${query}`)]);
      const probe = await get(`/api/v1/probes/${encodeURIComponent(document.series.probe)}`).catch(() => null);
      const failure = probe && probe.failures.find((failed) => !failed.vantage || failed.vantage === document.series.vantage);
      return { list, q, one: document.series, chart, failure, runs: probe ? probe.asked : [] };
    },
    draw(view, { list, q, notable, one, chart, failure, runs }, params) {
      const keep = (name, value) => {
        const query = new URLSearchParams(params);
        query.set(name, value);
        return `?${query}`;
      };
      const now = view.at;
      shown = one ? lastAt(one) : null;
      const label = (item) => [item.target, item.vantage, ...Object.entries(item.labels).map(([k, v]) => `${k}=${v}`)].filter(Boolean).join(" · ");
      return h("div", { class: "series-page" }, h("h1", { class: "unseen" }, one ? `Series ${one.probe} ${one.metric}` : "Series"),
        panel("Series", h("span", { class: "muted" }, `${count(list.total)} found`),
          h("label", { class: "search" }, "Find by name", h("input", { id: "search", type: "search", value: q, "data-search": true, autocomplete: "off", spellcheck: "false" })),
          list.total ? null : h("p", { class: "empty", role: "status" }, q ? "No series has all these words in its names." : "Nothing was measured yet."),
          h("ul", { class: "picker" }, list.items.map((item) => h("li", { "data-key": String(item.id) },
            h("a", { href: `/series/${item.id}${q ? `?q=${encodeURIComponent(q)}` : ""}`, "data-link": true, "aria-current": one && item.id === one.id ? "page" : null },
              h("span", {}, h("strong", {}, item.probe), ` ${item.metric}`, h("small", {}, label(item))), h("span", { class: "number" }, amount(item.value, item.metric), aged(item.last_at, list.at) ? h("small", {}, aged(item.last_at, list.at)) : null)))))),
        one ? named(`${one.probe} ${one.metric}`,
          h("span", { class: "spans", role: "group", "aria-label": "Span" }, Object.keys(SPANS).map((name) => h("a", { href: keep("span", name), "data-link": true, "aria-current": params.get("span") === name ? "true" : null }, name))),
          h("div", { class: "chart-box" }, picture(chart)),
          chartKey(params.has("mark") ? "since the finding began" : "", params.has("threshold")),
          failure ? failed(failure, now) : null,
          one.source.startsWith("prober:") ? h("div", { class: "buttons run" },
            h("button", { type: "button", "data-command": "run", "data-subject": one.probe }, "Run now"), h("span", { class: "muted", role: "status" }, ran(asked, one, now))) : null,
          askers(runs, now),
          h("dl", { class: "facts" },
            fact("Last value", amount(one.value, one.metric)), fact("Outcome", said(one.outcome)), fact("At", exact(one.last_at, now), aged(one.last_at, now) ? `, ${aged(one.last_at, now)}` : ""),
            fact("Expected", one.low === null ? "not yet known" : between(one.low, one.high, one.metric)),
            fact("As rare as", rarity(one.tail_probability)),
            fact("Where", label(one) || "–"), fact("Source", one.source), fact("Number", String(one.id))))
          : notables(notable, list.at));
    },
  };
}
