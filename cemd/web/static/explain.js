// The chain behind an id: every element a foldable list, ids are links.
import { h } from "/static/dom.js";
import { named, panel } from "/static/parts.js";
import { said, when } from "/static/words.js";

const ID = /^(inc|fnd|com|dec|alr)-[0-9a-z.]+$/;

function value(item, name) {
  if (item === null || item === undefined || item === "") return h("span", { class: "muted" }, "–");
  if (Array.isArray(item)) return item.length ? h("ol", { class: "tree" }, item.map((one) => h("li", {}, value(one, name)))) : h("span", { class: "muted" }, "none");
  if (typeof item === "object") return tree(item);
  if (typeof item === "number" && /(^|_)(at|since|until)$/.test(name) && item > 1e8) return when({ epoch: item, iso: new Date(item * 1000).toISOString() }, null, true);
  if (typeof item === "string" && ID.test(item)) return h("a", { href: `/explain/${item}`, "data-link": true }, item);
  return String(item);
}

const empty = (item) => item === null || item === "" || (Array.isArray(item) && !item.length);
const tree = (item) => h("dl", { class: "tree" }, Object.entries(item).filter(([, one]) => !empty(one)).map(([name, one]) => h("div", {}, h("dt", {}, said(name)), h("dd", {}, value(one, name)))));

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
      return h("div", { class: "one" }, h("div", { class: "one-head" }, h("h1", {}, "Explain"),
        h("form", { class: "search", "data-explain": true }, h("label", {}, "Id of an incident, finding, communication or notice", h("input", { id: "explain-id", name: "id", value: id || "", autocomplete: "off", spellcheck: "false" })), h("button", { class: "primary" }, "Explain"))),
        fault ? h("p", { class: "fault", role: "alert" }, fault) : null,
        document ? named(document.id, null, tree(document.chain)) : null,
        !id && view.incidents.length ? panel("Start from", null, h("ul", { class: "plain" }, view.incidents.map((one) => h("li", { "data-key": one.id }, h("a", { href: `/explain/${one.id}`, "data-link": true }, one.id), h("span", { class: "muted" }, ` ${one.subject.name}`))))) : null);
    },
  };
}
