// The chain behind an id: records as foldable cards, in the order in which one led to the other; ids are links.
import { h } from "/static/dom.js";
import { panel } from "/static/parts.js";
import { capital, count, moment, said, shape, standing, STATES, when } from "/static/words.js";

const ID = /^(inc|fnd|com|dec|alr)-[0-9a-z.]+$/;
const ORDER = ["incident", "incidents", "findings", "alerts", "communications", "notices", "decisions"];
const ASIDE = new Set(["trace", "epoch", "seq", "told_revision", "message_class", "cause_key"]);
const CALLED = { began_at: "found at", since: "shows since", until: "as of", last_at: "last sample at" };
const FOLDED = new Set(["timeline", "labels", "annotations"]);

const empty = (item) => item === null || item === "" || (Array.isArray(item) && !item.length) || (typeof item === "object" && !Object.keys(item).length);

function value(item, name) {
  if (Array.isArray(item)) {
    if (item.every((one) => typeof one === "string" && !/\s/.test(one))) return item.flatMap((one, index) => [index ? ", " : "", value(one, name)]);
    if (item.every((one) => typeof one !== "object")) return h("ul", { class: item.length > 1 ? "dots" : "" }, item.map((one) => h("li", {}, value(one, name))));
    return h("div", { class: "cards" }, item.map((one, index) => card(one, name, index)));
  }
  if (typeof item === "object") return FOLDED.has(name) ? h("details", {}, h("summary", {}, "show"), tree(item)) : tree(item);
  if (typeof item === "boolean") return item ? "yes" : "no";
  if (typeof item === "number" && (item > 1e8 || !item) && /(^|_)(at|since|until|by)$/.test(name)) return when(moment(item), null, true);
  if (typeof item === "number" && name === "series") return h("a", { href: `/series/${item}`, "data-link": true }, String(item));
  if (typeof item === "number") return Number.isInteger(item) ? count(item) : String(+item.toPrecision(5));
  if (typeof item === "string" && ID.test(item)) return h("a", { href: `/explain/${item}`, "data-link": true }, item);
  return STATES[item] ? [shape(item), ` ${STATES[item]}`] : String(item);
}

const tree = (item) => h("dl", { class: "tree" }, Object.entries(item).filter(([, one]) => !empty(one)).map(([name, one]) =>
  h("div", { class: ASIDE.has(name) ? "aside" : "" }, h("dt", {}, capital(CALLED[name] || said(name))), h("dd", {}, value(one, name)))));

// A communication with the state that its notices allow.
function asSaid(record) {
  if (!record.notices) return record;
  const sum = (...states) => Object.values(record.notices).reduce((all, one) => states.reduce((n, state) => n + (one[state] || 0), all), 0);
  return { ...record, state: standing(record.state, sum("accepted", "delivered"), sum("in_flight"), sum("unknown")) };
}

// One record: what it is in a line, all of it when unfolded.
function card(record, name, index) {
  if (typeof record !== "object" || record === null) return value(record, name);
  const item = asSaid(record);
  const { id, what, at } = item;
  const words = [item.condition, item.indicator, item.stage, item.state, item.phase !== undefined && typeof item.phase !== "number" ? item.phase : null].filter(Boolean).map(said);
  if (what && !id) return h("p", { class: "event" }, at ? value(at, "at") : null, " ", what, h("span", { class: "muted" }, item.by ? ` ${item.by}` : ""));
  const title = id || said(name).replace(/s$/, "");
  return h("details", { class: "card", "data-key": id || `${name}-${index}`, open: index < 3 }, h("summary", {}, item.quality ? shape(item.quality, true) : null, " ", h("strong", {}, title), h("span", { class: "muted" }, ` ${words.join(", ")}`)), tree(item));
}

function chain(document) {
  const place = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : -1);
  const parts = Object.entries(document.chain).filter(([name, one]) => name !== "id" && !empty(one)).sort((a, b) => place(a[0]) - place(b[0]));
  const plain = parts.filter(([, one]) => typeof one !== "object");
  return [
    plain.length ? tree(Object.fromEntries(plain)) : null,
    parts.filter(([, one]) => typeof one === "object").map(([name, one]) => panel(capital(said(name)), Array.isArray(one) ? h("span", { class: "muted" }, String(one.length)) : null, value(one, name))),
  ];
}

export function explainPage(id) {
  return {
    title: () => "Explain",
    async load(get) {
      if (!id) return {};
      try {
        return { document: await get(`/api/v1/explain/${encodeURIComponent(id)}`) };
      } catch (error) {
        return { fault: error.message };
      }
    },
    draw(view, { document, fault }) {
      return h("div", { class: "one" },
        h("div", { class: "one-head" }, h("h1", {}, id ? `Explain ${id}` : "Explain"), h("p", { class: "muted" }, "The chain from sample to message: what was seen, what was made of it, who was told and why."),
          h("form", { class: "search", "data-explain": true }, h("label", {}, "Id of an incident, finding, communication or notice", h("input", { id: "explain-id", name: "id", value: id || "", autocomplete: "off", spellcheck: "false" })), h("button", { class: "primary" }, "Explain"))),
        fault ? h("p", { class: "fault", role: "alert" }, fault) : null,
        document ? h("div", { class: "column chain" }, chain(document)) : null,
        !id ? panel("Start from", null, h("ul", { class: "plain" }, view.incidents.map((one) => h("li", { "data-key": one.id }, h("a", { href: `/explain/${one.id}`, "data-link": true }, one.id), h("span", { class: "muted" }, ` ${one.subject.title}`))))) : null);
    },
  };
}
