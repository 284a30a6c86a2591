// One dialog for every command: what it does, who asks, and a note. Nothing is sent without it.
import { command } from "/static/api.js";

const at = (id) => document.getElementById(id);
const WORDS = {
  acknowledge: ["Acknowledge this incident", "Everybody sees that you work on it.", "Acknowledge"],
  confirm: ["Confirm the cause", "Customers may hear of a confirmed cause, as the policies say.", "Confirm cause"],
  close: ["Close this incident", "It is dealt with.", "Close incident"],
  cancel: ["Cancel this incident", "It never was one.", "Cancel incident"],
  release: ["Release this communication", "Messages to its audience will be sent.", "Release"],
  releaseAll: ["Lift the hold after the restore", "Every communication may send again what is still due and still true.", "Lift the hold"],
  decline: ["Decline this communication", "Nobody is told.", "Decline"],
  label_true: ["It was a fault", "What was measured meanwhile stays out of the baseline.", "Label as true"],
  label_false: ["It was no fault", "The detector asks for more before it says so again, up to a bound.", "Label as false"],
  label_benign: ["It is the new normal", "The baseline is learnt anew at once.", "Label as new normal"],
  run: ["Run this probe now", "It measures once, at once; its schedule goes on as it was.", "Run now"],
  kill: ["Stop all messages to customers", "Nothing more leaves, in every communication, until somebody resumes.", "Stop all messages"],
  unkill: ["Resume messages to customers", "What is still due and still true may be sent.", "Resume messages"],
};

let waiting = null;

export function ask(kind, subject, tokenNeeded, done) {
  const [title, words, go] = WORDS[kind === "release" && !subject ? "releaseAll" : kind];
  waiting = { kind, subject, done };
  at("ask-title").textContent = title;
  at("ask-words").textContent = subject ? `${subject}. ${words}` : words;
  at("ask-go").textContent = go;
  at("ask-go").className = kind === "kill" || kind === "cancel" || kind === "release" ? "danger" : "primary";
  at("ask-go").disabled = false;
  at("ask-actor").value = localStorage.getItem("cemd-actor") || "";
  at("ask-note").value = "";
  at("ask-fault").textContent = "";
  at("ask-token-row").hidden = !tokenNeeded;
  at("ask-token").required = tokenNeeded;
  at("ask-token").value = sessionStorage.getItem("cemd-token") || "";
  at("ask").showModal();
  at(at("ask-actor").value ? "ask-go" : "ask-actor").focus();
}

const pathOf = ({ kind, subject }) => {
  if (!subject) return kind;
  if (kind === "run") return `probes/${encodeURIComponent(subject)}/run`;
  if (kind.startsWith("label_")) return `findings/${encodeURIComponent(subject)}/${kind}`;
  return `${kind === "release" || kind === "decline" ? "communications" : "incidents"}/${encodeURIComponent(subject)}/${kind}`;
};

at("ask-back").addEventListener("click", () => at("ask").close());
at("ask").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const actor = at("ask-actor").value.trim();
  if (!actor) return at("ask-actor").focus();
  const token = at("ask-token-row").hidden ? "" : at("ask-token").value.trim();
  at("ask-go").disabled = true;
  try {
    const answer = await command(pathOf(waiting), actor, at("ask-note").value, token);
    localStorage.setItem("cemd-actor", actor);
    if (token) sessionStorage.setItem("cemd-token", token);
    at("ask").close();
    waiting.done(answer);
  } catch (error) {
    at("ask-fault").textContent = error.message;
    at("ask-go").disabled = false;
  }
});
