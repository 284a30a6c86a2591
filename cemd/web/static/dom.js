// Builds elements from data and changes the page in place. Text is always text: nothing here reads HTML.

const SVG = "http://www.w3.org/2000/svg";

function made(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === false || value === null || value === undefined) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(9)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

export const h = (name, attributes, ...children) => made(document.createElement(name), attributes, children);
export const s = (name, attributes, ...children) => made(document.createElementNS(SVG, name), attributes, children);

const keyOf = (node) => (node.nodeType === 1 ? node.getAttribute("data-key") : null);
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b);

// Makes `old` like `fresh` and touches only what differs, so that focus, selection and scroll stay.
export function morph(old, fresh) {
  if (old.nodeType === 3) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (!old.hasAttribute("data-own")) morphChildren(old, [...fresh.childNodes]);
}

export function morphChildren(parent, fresh) {
  const keyed = new Map();
  for (const child of parent.childNodes) if (keyOf(child)) keyed.set(keyOf(child), child);
  let place = parent.firstChild;
  for (const wanted of fresh) {
    const key = keyOf(wanted);
    const found = key ? keyed.get(key) : place && !keyOf(place) && alike(place, wanted) ? place : null;
    if (found && alike(found, wanted)) {
      if (found === place) place = place.nextSibling;
      else parent.insertBefore(found, place);
      morph(found, wanted);
    } else {
      parent.insertBefore(wanted, place);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

// Width in pixels for a picture, from where such a picture stands already; the first is drawn for what is usual and fitted.
export function room(selector, usual) {
  const box = document.querySelector(selector);
  const width = box ? box.clientWidth : Math.min(document.getElementById("main").clientWidth - 64, usual);
  return Math.max(240, Math.min(2400, Math.round(width / 20) * 20));
}

// A picture that the server made: parsed as XML, never as HTML.
export function picture(text) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml");
  if (parsed.querySelector("parsererror")) return h("p", { class: "empty" }, "The chart could not be drawn.");
  return document.importNode(parsed.documentElement, true);
}
