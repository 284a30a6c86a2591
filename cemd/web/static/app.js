// The page's one loop: a new view comes, the shown page is drawn from it, only what differs changes.
import { follow, get, text } from "/static/api.js";
import { ask } from "/static/ask.js";
import { h, morphChildren } from "/static/dom.js";
import { explainPage } from "/static/explain.js";
import { incidentPage } from "/static/incident.js";
import { overview } from "/static/overview.js";
import { seriesPage } from "/static/series.js";
import { checkTip, followTips } from "/static/tip.js";
import { capital, clock, count, exact, span, useTitles, useZone } from "/static/words.js";

const at = (id) => document.getElementById(id);
let view = null;
let heardAt = performance.now();
let page = null;
let busy = false;
let again = false;
let fault = "";

function route(path) {
  const [, place, id] = path.split("/").map(decodeURIComponent);
  if (place === "incidents" && id) return incidentPage(id);
  if (place === "series") return seriesPage(id);
  if (place === "explain") return explainPage(id);
  return overview;
}

// One refresh at a time; what comes meanwhile asks for one more.
async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  const drawn = page;
  try {
    view = await get("/api/v1/overview");
    useZone(view.zone);
    useTitles(view);
    const params = new URLSearchParams(location.search);
    const more = await drawn.load(get, text, params);
    if (drawn === page) {
      morphChildren(at("main"), [drawn.draw(view, more, params)]);
      checkTip();
      document.title = `${titleState()}${drawn.title()} · cemd`;
    }
    fault = "";
  } catch (error) {
    const nothing = !view || error.status === 404;
    fault = nothing ? "" : error.message;
    if (nothing) morphChildren(at("main"), [missing(error)]);
  } finally {
    busy = false;
    frame();
    if (again || drawn !== page) { again = false; refresh(); }
  }
}

// A command was logged; a page may want to know with which answer.
function obeyed(answer) {
  if (page.obeyed) page.obeyed(answer);
  refresh();
}

// Where there is no page to draw, what to say instead.
const missing = (error) => h("div", { class: "one-head" },
  h("h1", {}, error.status === 404 ? "There is no such page" : "No data yet"), h("p", { class: "empty", role: "status" }, error.message),
  error.status === 404 ? h("p", {}, h("a", { href: "/", "data-link": true }, "Overview")) : null);

const titleState = () => {
  const open = view.incidents.filter((one) => one.open).length;
  return open ? `(${open}) ` : "";
};

// Who stopped it and since when: whoever comes on shift asks that first.
const stoppedBy = () => [view.killed_by ? ` by ${view.killed_by}` : "", view.killed_at ? [" since ", exact(view.killed_at, view.at)] : ""];

// What a person has to mend, under the sentence that says what it means.
// The first is unfolded; who has read it folds it away, and sees again what is hurt out there.
function toMend(what, all) {
  const kept = all.filter((one) => one.what === what);
  return h("div", { class: "banner at_risk", "data-key": what },
    h("details", { open: what === all[0].what }, h("summary", {}, h("strong", { role: "alert" }, `${what}.`), h("span", {}, ` ${count(kept.length)} to mend`)),
      h("ul", { class: "to-mend" }, kept.map((one, index) => h("li", { "data-key": `${one.place} ${index}` },
        h("code", {}, one.place), `: ${one.fact}; ${one.remedy}. `, h("span", { class: "since" }, "Since ", exact(one.since, view.at), "."))))));
}

// What frames every page: operator, clock, banners.
function frame() {
  const silent = (performance.now() - heardAt) / 1000;
  const banners = [];
  const banner = (kind, key, ...words) => banners.push(h("div", { class: `banner ${kind}`, "data-key": key, role: "alert" }, words));
  const patience = view ? view.stale_after_seconds : 15;
  if (silent > patience) banner("down", "stale", h("strong", {}, "Stale."), view ? ` What you see is from ${clock(view.at)}.` : " No data yet.", h("span", { "aria-hidden": "true" }, `Nothing new for ${span(silent)}.`));
  if (view) {
    at("operator").textContent = view.operator;
    at("clock").textContent = `${clock(view.at)} · ${silent < Math.min(3, patience) ? "live" : `${span(silent)} ago`}`;
    at("clock").classList.toggle("late", silent > patience);
    at("kill").hidden = view.killed;
    if (view.killed) banner("down", "killed", h("span", {}, h("strong", {}, "All messages to customers are stopped"), stoppedBy(), "."), h("button", { type: "button", "data-command": "unkill" }, "Resume"));
    if (view.sending_held) banner("at_risk", "held", h("strong", {}, "Sending is held"), " after a restore. Release communications one by one, or ", h("button", { type: "button", "data-command": "release" }, "Lift the hold"));
    for (const what of new Set(view.to_mend.map((one) => one.what))) banners.push(toMend(what, view.to_mend));
    for (const reason of view.not_ready) banner("at_risk", reason, h("strong", {}, "Not ready."), ` ${capital(reason)}`);
  }
  if (fault && silent <= patience) banner("at_risk", "fault", fault);
  morphChildren(at("banners"), banners);
  document.body.classList.toggle("stale", silent > patience);
  checkTip();
}

function show(path, push) {
  if (push) history.pushState(null, "", path);
  page = route(location.pathname);
  for (const link of document.querySelectorAll(".top nav a")) {
    const here = link.pathname === "/" ? location.pathname === "/" : location.pathname.startsWith(link.pathname);
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  refresh();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-command]");
  if (button) return ask(button.dataset.command, button.dataset.subject || "", view && view.token_needed, obeyed);
  const link = event.target.closest("a[data-link]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return undefined;
  event.preventDefault();
  const before = location.pathname;
  show(link.href, true);
  if (before !== location.pathname && !location.pathname.startsWith("/series/")) { scrollTo(0, 0); at("main").focus({ preventScroll: true }); }
  return undefined;
});

let typing = 0;
document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-search]")) return;
  clearTimeout(typing);
  typing = setTimeout(() => {
    const query = new URLSearchParams(location.search);
    query.set("q", event.target.value);
    history.replaceState(null, "", `?${query}`);
    refresh();
  }, 200);
});

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-explain]")) return;
  event.preventDefault();
  const id = new FormData(event.target).get("id").trim();
  if (id) show(`/explain/${encodeURIComponent(id)}`, true);
});

at("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("cemd-theme", root.dataset.theme);
});

addEventListener("popstate", () => show(location.pathname, false));
followTips();
setInterval(frame, 1000);
follow(() => { heardAt = performance.now(); refresh(); });
show(location.pathname, false);
