// How numbers, instants and states are said. A state is always colour, shape and word.
import { h, s } from "/static/dom.js";

export const STATES = {
  healthy: "Healthy", at_risk: "At risk", degraded: "Degraded", down: "Down", unknown: "Unknown",
};

const SHAPES = {
  healthy: () => s("circle", { cx: 8, cy: 8, r: 5 }),
  at_risk: () => s("path", { d: "M8 2.2 14.4 13.4H1.6Z" }),
  degraded: () => s("path", { d: "M8 1.2 14.8 8 8 14.8 1.2 8Z" }),
  down: () => s("path", { d: "M2 2h12v12H2Zm3.4 2.1L4.1 5.4 6.7 8l-2.6 2.6 1.3 1.3L8 9.3l2.6 2.6 1.3-1.3L9.3 8l2.6-2.6-1.3-1.3L8 6.7Z", "fill-rule": "evenodd" }),
  unknown: () => s("circle", { cx: 8, cy: 8, r: 5.2, fill: "none", stroke: "currentColor", "stroke-width": 1.8, "stroke-dasharray": "2.6 2" }),
};

export function shape(state, label) {
  const kind = SHAPES[state] ? state : "unknown";
  const attributes = { class: `shape ${kind}`, viewBox: "0 0 16 16", fill: "currentColor" };
  return s("svg", label ? { ...attributes, role: "img", "aria-label": STATES[kind] } : { ...attributes, "aria-hidden": "true" }, SHAPES[kind]());
}

export const badge = (state) => h("span", { class: `badge ${state}` }, shape(state), STATES[state] || state);

export const star = () =>
  s("svg", { class: "star", viewBox: "0 0 16 16", role: "img", "aria-label": "moment of truth", fill: "currentColor" },
    s("title", {}, "moment of truth"), s("path", { d: "M8 .9 10.2 5.5 15.2 6.1 11.5 9.6 12.5 14.6 8 12.1 3.5 14.6 4.5 9.6.8 6.1 5.8 5.5Z" }));

export const said = (word) => String(word).replaceAll("_", " ").replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();

// The state of a communication: nobody is told yet while every notice is on its way, nor where of none is known whether it
// left; the core's `told` means that all of them left its hands.
export const standing = (state, told, inFlight, unknown) => (state !== "told" || told ? state : inFlight ? "telling" : unknown ? "unknown" : state);

// Names as people say them, learned from the newest view.
let titles = new Map(), sites = new Map();
export function useTitles(view) {
  titles = new Map([...view.services, ...view.touchpoints, ...view.journeys].map((one) => [one.name, one.title || one.name]));
  sites = new Map(Object.entries(view.site_titles));
  services = new Map(view.services.map((one) => [one.name, one.title || one.name]));
  for (const one of view.journeys) for (const step of one.steps) titles.set(`${one.name}/${step.name}`, `${one.title || one.name}: ${step.title || step.name}`);
}
export const titled = (name) => titles.get(name) || name;
export const sited = (name) => sites.get(name) || name;

// Sentences of the core name services as the files do; people know their titles. The name stays beside the first
// mention where the title does not show it; `mentioned` remembers across sentences, null leaves names out.
let services = new Map();
const folded = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, " ").trim();
export const nameBeside = (name) => (services.has(name) && folded(services.get(name)) !== folded(name) ? name : "");
export function spoken(text, mentioned = new Set()) {
  return text.replace(/(\bservice )?([\p{L}\p{N}_](?:[\p{L}\p{N}_.+/-]*[\p{L}\p{N}_])?)/gu, (whole, kind, word) => {
    const title = services.get(word);
    if (!title) return whole;
    const beside = mentioned && !mentioned.has(word) && nameBeside(word);
    if (mentioned) mentioned.add(word);
    return beside ? `${title} (${word})` : title;
  });
}

// The same as a sentence of its own: it begins large, unless it begins with a title.
export function spokenWhole(text, mentioned) {
  const words = spoken(text, mentioned), first = (one) => one.split(" ", 1)[0];
  return first(words) === first(text) && !services.has(first(text)) ? capital(words) : words;
}

// A metric in words; its unit shows in the value.
export function metricWords(metric) {
  const [, name, unit] = /^(.+?)(?:_(seconds|ratio|bytes|celsius))?$/.exec(metric) || [null, metric];
  const words = said(name);
  return unit === "seconds" && !/(time|delay|jitter|age|duration|offset|interval)$/.test(words) ? `${words} time` : words;
}
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
export const count = (n) => (n === null || n === undefined ? "–" : Math.round(n).toLocaleString("en-GB").replaceAll(",", "\u202f"));
export const many = (n, one, more = `${one}s`) => `${count(n)} ${n === 1 ? one : more}`;
export const score = (n) => (n === null || n === undefined ? "–" : n.toFixed(0));
export const share = (n) => (n === null || n === undefined ? "–" : `${(n * 100).toFixed(n > 0 && n < 0.1 ? 1 : 0)} %`);

export function amount(value, metric) {
  if (value === null || value === undefined) return "–";
  if (/success$/.test(metric)) return value >= 1 ? "ok" : value <= 0 ? "failed" : `${+(value * 100).toPrecision(3)} %`;
  if (/_seconds$|^seconds$|^s$/.test(metric)) return Math.abs(value) < 1 ? `${+(value * 1000).toPrecision(3)} ms` : `${+value.toPrecision(3)} s`;
  if (/_ratio$|^ratio$/.test(metric)) return `${+(value * 100).toPrecision(3)} %`;
  return String(+value.toPrecision(4));
}

// What is expected; of success both ends are shares, and what cannot be below nothing is not said to be.
export function between(low, high, metric) {
  if (/success$/.test(metric)) return `${share(low)} to ${share(high)}`;
  const least = /_(seconds|ratio|bytes|count)$/.test(metric) && !metric.includes("offset") ? Math.max(low, 0) : low;
  return `${amount(least, metric)} to ${amount(high, metric)}`;
}

let zone = "UTC";
let formats = {};
export function useZone(name) {
  if (name === zone && formats.time) return;
  zone = name;
  const of = (more) => new Intl.DateTimeFormat("en-GB", { timeZone: zone, hourCycle: "h23", ...more });
  const time = { hour: "2-digit", minute: "2-digit" };
  formats = {
    time: of({ ...time, timeZoneName: "short" }),
    clock: of({ ...time, second: "2-digit", timeZoneName: "short" }),
    full: of({ day: "numeric", month: "short", year: "numeric", ...time, second: "2-digit", timeZoneName: "short" }),
    day: of({ day: "numeric", month: "short", ...time, timeZoneName: "short" }),
    exact: of({ day: "numeric", month: "short", ...time, second: "2-digit", timeZoneName: "short" }),
  };
}
useZone("UTC");

export const clock = (moment) => formats.clock.format(moment.epoch * 1000);

// An instant for people; the whole one on hover and for machines.
export function when(moment, now, whole = false) {
  if (!moment) return "–";
  if (whole) return h("time", { datetime: moment.iso }, formats.full.format(moment.epoch * 1000));
  const far = now && Math.abs(now.epoch - moment.epoch) > 64800;
  const text = (far ? formats.day : formats.time).format(moment.epoch * 1000);
  return h("time", { datetime: moment.iso, title: formats.full.format(moment.epoch * 1000) }, text);
}

// To the second, for what happens within one incident.
export function exact(moment, now) {
  if (!moment) return "–";
  const far = now && Math.abs(now.epoch - moment.epoch) > 64800;
  return h("time", { datetime: moment.iso, title: formats.full.format(moment.epoch * 1000) }, (far ? formats.exact : formats.clock).format(moment.epoch * 1000));
}

// An instant that came as a number; 0 stands for none.
export const moment = (epoch) => (epoch ? { epoch, iso: new Date(epoch * 1000).toISOString() } : null);

export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

// How old a value is, where that is worth a word: what was measured within the last minute is of now.
export const aged = (moment, now) => (moment && now && now.epoch - moment.epoch > 60 ? `${span(now.epoch - moment.epoch)} ago` : "");

export function listed(names, most = 4, named = titled) {
  if (!names.length) return "none";
  names = names.map(named);
  return names.length <= most ? names.join(", ") : `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
}

// A small calm line, 0 to 100; gaps where nothing was known.
export function spark(points, label) {
  if (!points || points.filter((p) => p !== null).length < 2) return s("svg", { class: "spark", viewBox: "0 0 120 28", "aria-hidden": "true" });
  const known = points.filter((p) => p !== null);
  const middle = (Math.min(...known) + Math.max(...known)) / 2, half = Math.max((Math.max(...known) - Math.min(...known)) / 2, 10);
  const low = middle - half, high = middle + half; // at least 20 points high, so that noise stays small
  const step = 116 / Math.max(points.length - 1, 1);
  let path = "", pen = false;
  points.forEach((p, i) => {
    if (p === null) { pen = false; return; }
    path += `${pen ? "L" : "M"}${(2 + i * step).toFixed(1)} ${(25 - (22 * (p - low)) / (high - low)).toFixed(1)}`;
    pen = true;
  });
  return s("svg", { class: "spark", viewBox: "0 0 120 28", role: "img", "aria-label": `${label}: from ${score(points.find((p) => p !== null))} to ${score(known[known.length - 1])}` },
    s("path", { d: path, fill: "none", stroke: "currentColor", "stroke-width": 1.5, "stroke-linejoin": "round" }));
}

// A line in its own scale, with what was expected behind it.
export function trace(points, low, high, label) {
  const known = points.filter((p) => p !== null);
  const every = [...known, ...(low !== null && high !== null ? [low, high] : [])];
  const least = Math.min(...every), range = Math.max(...every) - least || 1;
  const y = (value) => 30 - (26 * (value - least)) / range;
  const step = 156 / Math.max(points.length - 1, 1);
  let path = "", pen = false;
  points.forEach((p, i) => {
    if (p === null) return;
    path += `${pen ? "L" : "M"}${(2 + i * step).toFixed(1)} ${y(p).toFixed(1)}`;
    pen = true;
  });
  return s("svg", { class: "trace", viewBox: "0 0 160 34", preserveAspectRatio: "none", role: "img", "aria-label": label },
    low !== null && high !== null ? s("rect", { class: "trace-band", x: 0, width: 160, y: (y(high) - 1).toFixed(1), height: (y(low) - y(high) + 2).toFixed(1) }) : null,
    known.length > 1 ? s("path", { d: path, fill: "none", stroke: "currentColor", "stroke-width": 1.5, "stroke-linejoin": "round", "vector-effect": "non-scaling-stroke" }) : null);
}

// A share as a bar; the number stands beside it, so this is for the eye only.
export const bar = (value, kind) =>
  s("svg", { class: `bar ${kind || ""}`, viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { width: 100, height: 6, rx: 3, class: "bar-whole" }),
    s("rect", { width: Math.max(0, Math.min(100, value || 0)).toFixed(1), height: 6, rx: 3, class: "bar-part" }));
