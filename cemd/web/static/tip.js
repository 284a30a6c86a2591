// Explanations on hover, focus and touch. The host carries the same words as its label, so nothing depends on seeing them.
import { h } from "/static/dom.js";

const GAP = 6;
const box = h("div", { id: "tip", "aria-hidden": "true", hidden: true });
let host = null;

// Something with an explanation: `words` is what it says, `more` what it explains, a line each.
export const tipped = (kind, words, more, ...content) =>
  h("button", { type: "button", class: `tipped ${kind}`, "aria-label": [words, ...more].join(". "), "data-tip": [words, ...more].join("\n") }, content);

// The same in a cell of a table: the whole table is one stop of the Tab key, arrow keys move inside.
export function tippedCell(isFirst, words, more, ...content) {
  const made = tipped("cell", words, more, ...content);
  made.tabIndex = isFirst ? 0 : -1;
  return made;
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function walk(event) {
  const cell = event.target.closest && event.target.closest("td"), step = STEPS[event.key];
  if (!step || !cell || !event.target.matches(".cell")) return;
  const rows = cell.closest("tbody").rows;
  const row = rows[cell.parentElement.rowIndex - 1 + step[0]];
  const next = row && row.cells[cell.cellIndex + step[1]];
  const button = next && next.querySelector(".cell");
  if (!button) return;
  event.preventDefault();
  button.focus();
}

function show(element) {
  host = element;
  const [first, ...rest] = element.dataset.tip.split("\n");
  box.replaceChildren(h("strong", {}, first), ...rest.map((line) => h("p", {}, line)));
  box.hidden = false;
  const around = element.getBoundingClientRect(), own = box.getBoundingClientRect();
  const below = around.bottom + GAP + own.height <= innerHeight;
  const left = Math.min(Math.max(around.left + (around.width - own.width) / 2, 8), innerWidth - own.width - 8);
  box.style.left = `${Math.max(left, 8)}px`;
  box.style.top = `${below ? around.bottom + GAP : Math.max(around.top - GAP - own.height, 8)}px`;
}

function hide() {
  host = null;
  box.hidden = true;
}

const hostOf = (event) => (event.target.closest ? event.target.closest("[data-tip]") : null);

export function followTips() {
  document.body.append(box);
  document.addEventListener("pointerover", (event) => {
    const found = hostOf(event);
    if (found) show(found);
    else if (host && !box.contains(event.target) && document.activeElement !== host) hide();
  });
  document.addEventListener("focusin", (event) => (hostOf(event) ? show(hostOf(event)) : hide()));
  document.addEventListener("focusout", hide);
  document.addEventListener("click", (event) => hostOf(event) && show(hostOf(event)));
  document.addEventListener("keydown", (event) => (event.key === "Escape" ? hide() : walk(event)));
  addEventListener("scroll", hide, { passive: true });
}

// After the page changed: what is explained may be gone.
export function checkTip() {
  if (host) host.isConnected ? show(host) : hide();
}
