/** Verdicts with their time line, the log, the cards of the policies. @module */
const MOST = 300;
const SHADES = { ACTIVE: "#2e9e5b", TELEOP: "#1f77b4", IDLE: "#8a94a0", DISARMED: "#c3cad1", HOLD: "#e09f1f", NONE: "#3b434b", STOPPED: "#c62828" };
export const LEVELS = ["ok", "warn", "bad"];

/** Local time of ns since 1970, to the tenth of a second. */
export function clock(stamp) {
  const moment = new Date(stamp / 1e6);
  return `${moment.toLocaleTimeString([], { hour12: false })}.${Math.floor(moment.getMilliseconds() / 100)}`;
}

/** Add entries at the top of a list; the oldest go. */
export function prepend(list, entries) {
  for (const entry of entries) {
    const line = document.createElement("li");
    line.className = LEVELS[entry.level] ?? "bad";
    const time = Object.assign(document.createElement("time"), { textContent: clock(entry.stamp) });
    line.append(time, ` ${entry.topic} `, Object.assign(document.createElement("span"), { textContent: entry.text }));
    list.prepend(line);
  }
  while (list.children.length > MOST) list.lastChild.remove();
}

/** Modes of the last `seconds` as coloured stretches: [from, to, mode], each 0 … 1 of the width. */
export function stretches(entries, now, seconds = 60) {
  const share = (stamp) => Math.max(0, 1 - (now - stamp) / (seconds * 1e9));
  return entries.map((entry, k) => [share(entry.stamp), k + 1 < entries.length ? share(entries[k + 1].stamp) : 1, entry.topic]).filter(([from, to]) => to > from);
}

export class Timeline {
  constructor(canvas) { this.canvas = canvas; this.entries = []; }

  add(entries) { this.entries = [...this.entries, ...entries].slice(-MOST); }

  draw(now = Date.now() * 1e6) {
    const { canvas } = this, pen = canvas.getContext("2d");
    canvas.width = canvas.clientWidth;
    for (const [from, to, mode] of stretches(this.entries, now)) {
      pen.fillStyle = SHADES[mode] ?? "#000";
      pen.fillRect(from * canvas.width, 0, (to - from) * canvas.width, 22);
    }
    pen.fillStyle = getComputedStyle(document.body).color;
    pen.font = "10px system-ui";
    pen.fillText("one minute ago", 0, 33);
    pen.fillText("now", canvas.width - 22, 33);
  }
}

/** One card per bundle. */
export function showPolicies(parent, cards) {
  parent.replaceChildren(...cards.map(card));
}

/** A value of the manifest for people: a line for each entry of what has several. */
export function words(value) {
  if (Array.isArray(value)) return value.map(words).join(", ");
  if (value === null || typeof value !== "object") return typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);
  return Object.entries(value).map(([name, inner]) => `${name.replaceAll("_", " ")}: ${words(inner)}`).join("\n");
}

function card(policy) {
  const box = document.createElement("details"), head = document.createElement("summary"), list = document.createElement("dl"), chip = document.createElement("span");
  box.open = policy.active;
  list.className = "facts";
  const checked = policy.verification && Object.keys(policy.verification).length;
  chip.textContent = policy.problem ? "cannot be served" : checked ? "verified" : policy.verification ? "not verified" : "not a bundle";
  chip.className = `badge ${policy.problem ? "bad" : checked ? "ok" : "warn"}`;
  head.append(`${policy.name}${policy.active ? " (served) " : " "}`, chip);
  for (const [name, value] of Object.entries(policy)) {
    if (["name", "active"].includes(name) || value === "") continue;
    const term = document.createElement("dt"), text = document.createElement("dd");
    term.textContent = name;
    text.textContent = words(value);
    list.append(term, text);
  }
  box.append(head, list);
  return box;
}
