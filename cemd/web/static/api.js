// Talks to the daemon that served this page, and to nobody else.

const kept = new Map();

export class Refusal extends Error {
  constructor(status, error) {
    super(error ? `${error.place}: ${error.fact}; ${error.remedy}.` : `The daemon answered ${status}.`);
    this.status = status;
  }
}

async function refusal(response) {
  try {
    return new Refusal(response.status, (await response.json()).error);
  } catch {
    return new Refusal(response.status);
  }
}

const patience = () => AbortSignal.timeout(20000);

// A document; the same object again while its ETag holds.
export async function get(path) {
  const before = kept.get(path);
  const headers = before ? { "If-None-Match": before.tag } : {};
  const response = await fetch(path, { headers, signal: patience(), cache: "no-store" });
  if (response.status === 304 && before) return before.body;
  if (!response.ok) throw await refusal(response);
  const body = await response.json();
  const tag = response.headers.get("ETag");
  if (tag) {
    kept.set(path, { tag, body });
    if (kept.size > 40) kept.delete(kept.keys().next().value);
  }
  return body;
}

export async function text(path) {
  const response = await fetch(path, { signal: patience() });
  if (!response.ok) throw await refusal(response);
  return response.text();
}

export async function command(path, actor, note, token) {
  const headers = { "Content-Type": "application/json", "X-Cemd-Request": "1" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(`/api/v1/${path}`, { method: "POST", headers, body: JSON.stringify({ actor, note }), signal: patience() });
  if (!response.ok) throw await refusal(response);
  return response.json();
}

// Calls `onView` for every new view. The browser connects again by itself; a connection that it gave up is made anew.
export function follow(onView) {
  let source;
  const open = () => {
    source = new EventSource("/api/v1/stream");
    source.addEventListener("view", (event) => onView(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 2000);
    });
  };
  open();
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => event.persisted && open());
}
