/** The recorder: where it is, what it waits for, its buttons and their keys. @module */

/** Event, key as it is shown, code of the key, words, phases in which it makes sense. Keys are those of `vla-ros teleop`. */
export const BUTTONS = [
  ["toggle", "Enter", "Enter", "Start", ["armed", "recording"]],
  ["success", "y", "KeyY", "Success", ["recording", "deciding"]],
  ["failure", "n", "KeyN", "Failure", ["recording", "deciding"]],
  ["discard", "x", "KeyX", "Discard", ["recording", "deciding"]],
  ["rerecord", "b", "KeyB", "Record again", ["recording", "deciding"]],
  ["save", "v", "KeyV", "Keep the last seconds", ["armed"]],
  ["next", "t", "KeyT", "Next instruction", ["armed"]],
  ["park", "p", "KeyP", "Park", ["armed"]],
];
export const SILENT = 2000;

/** Say a text where it is another one: what says the same again is read out again by a screen reader. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Minutes, seconds and tenths. */
export function timer(seconds) {
  const tenths = Math.floor(seconds * 10);
  return `${Math.floor(tenths / 600)}:${String(Math.floor(tenths / 10) % 60).padStart(2, "0")}.${tenths % 10}`;
}

/** Of each camera in the recorder's values: [name, frames a second, ms since its newest, frames lost], as texts. */
export function eyes(values) {
  const names = Object.keys(values).filter((key) => key.endsWith("_fps")).map((key) => key.slice(0, -4));
  return names.map((name) => [name, values[`${name}_fps`] || "–", values[`${name}_age_ms`] ? `${values[`${name}_age_ms`]} ms` : "–", values[`${name}_lost`]]);
}

export class Recorder {
  /** `press` is called with an event; `may` tells whether this token allows it. */
  constructor(at, { press, may }) {
    Object.assign(this, { at, press, may, phase: "" });
    this.buttons = BUTTONS.map(([event, key, code, words, phases]) => {
      const button = document.createElement("button"), label = document.createElement("span"), hint = document.createElement("kbd");
      button.type = "button";
      button.dataset.event = event;
      button.classList.toggle("wide", event === "toggle");
      button.setAttribute("aria-keyshortcuts", key);
      label.textContent = words;
      hint.textContent = key;
      button.append(label, hint);
      button.onclick = (click) => { press(event); if (click.detail) button.blur(); };
      at("keys").append(button);
      return { event, code, phases, button, label };
    });
    addEventListener("keydown", (key) => this.key(key));
  }

  key(event) {
    if (this.at("recorder").hidden || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.matches("input:not([type=checkbox]):not([type=range]), textarea, select")) return;
    if (event.code === "Enter" && event.target.matches("button, summary, a")) return;
    const meant = this.buttons.find(({ code }) => code === event.code);
    if (!meant || meant.button.disabled) return;
    event.preventDefault();
    this.press(meant.event);
  }

  /** Show a report, null where no recorder was ever heard. */
  show(report) {
    const { at } = this;
    at("recorder").hidden = at("episodes").hidden = !report;
    at("take").hidden = report?.values.phase !== "recording";
    if (!report) return;
    const { values } = report, silent = report.age_ms > SILENT, phase = silent ? "silent" : values.phase, seconds = Number(values.seconds);
    this.phase = phase;
    for (const id of ["phase", "take"]) at(id).dataset.phase = phase;
    put(at("phase"), silent ? "not heard" : phase);
    put(at("clock"), phase === "recording" ? timer(seconds) : `${values.episodes} saved`);
    put(at("take"), `● ${timer(seconds)}`);
    const obstacle = silent ? "The recorder is not heard any more." : values.obstacle || values.log || (values.parking === "True" ? "The arm is parking." : "");
    at("obstacle").hidden = !obstacle;
    put(at("obstacle"), obstacle);
    put(at("sentence"), values.instruction);
    put(at("following"), Number(values.tasks) > 1 ? `${Number(values.task) % Number(values.tasks) + 1} of ${values.tasks}; then: ${values.next}` : "");
    this.numbers(values);
    this.enable(phase, values);
  }

  enable(phase, values) {
    for (const { event, phases, button, label } of this.buttons) {
      button.disabled = !phases.includes(phase) || !this.may();
      if (event === "toggle") put(label, phase === "recording" ? "End the take" : "Start recording");
      if (event === "save") put(label, `Keep last ${Math.round(Number(values.memory_s ?? 0))} s`);
      button.classList.toggle("next", !button.disabled && (event === "toggle" || (phase === "deciding" && event === "success")));
    }
  }

  numbers(values) {
    const told = { episodes: values.episodes, frames: values.frames, repeated: values.repeated, skipped: values.skipped, lost: values.lost, "disk free": `${values.free_gb ?? "–"} GB` };
    readings(this.at("counts"), told);
    const body = this.at("eyes").tBodies[0];
    eyes(values).forEach((cells, k) => {
      const row = body.rows[k] ?? body.insertRow();
      cells.forEach((text, j) => put(row.cells[j] ?? row.insertCell(), text));
    });
  }
}

/** Names and values as a grid; elements are made once. */
export function readings(list, values) {
  for (const [name, text] of Object.entries(values)) {
    let box = list.querySelector(`[data-name="${name}"]`);
    if (!box) {
      box = document.createElement("div");
      box.dataset.name = name;
      box.append(Object.assign(document.createElement("dt"), { textContent: name }), document.createElement("dd"));
      list.append(box);
    }
    put(box.lastChild, text);
  }
}
