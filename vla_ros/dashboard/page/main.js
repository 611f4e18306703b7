/** The page: what comes in is shown, what is pressed is asked. @module */
import { ask, Refused, wire } from "./ask.js";
import { View } from "./cameras.js";
import { Episodes } from "./episodes.js";
import { Link } from "./link.js";
import { LEVELS, prepend, showPolicies, Timeline } from "./lists.js";
import { Pad } from "./pad.js";
import { number, Plots, samples } from "./plots.js";
import { put, readings, Recorder } from "./recorder.js";

const at = (id) => document.getElementById(id);
const OLD = 1000, HISTORY = "vla_ros.history";
const state = { page: null, views: [], link: null, snapshot: null, plots: null, recorder: null, episodes: null, pressed: 0, handled: 0, timeline: new Timeline(at("timeline")), told: { verdicts: 0, log: 0 } };

function say(text, level = 0) {
  at("answer").textContent = text;
  at("answer").className = LEVELS[level];
  at("answer").hidden = !text;
}

async function wish(name, body) {
  try {
    say((await ask("POST", `/api/${name}`, body)).text);
  } catch (error) {
    say(error instanceof Refused ? `${name}: ${error.message}` : `${name}: the service does not answer`, 2);
  }
}

/** Stop is asked again until somebody has heard it: a lost packet must not cost a collision. */
async function stop(event) {
  state.handled = Date.now();
  state.pressed = state.handled - (performance.now() - event.timeStamp);
  for (let attempt = 0; attempt < 5; attempt++) {
    try {
      say((await ask("POST", "/api/stop")).text, 1);
      return;
    } catch (error) {
      say(`STOP NOT CONFIRMED: ${error.message}. Use the emergency stop.`, 2);
      if (error instanceof Refused && error.status < 500) return;
    }
    await new Promise((done) => setTimeout(done, 200));
  }
}

function show(snapshot) {
  const { arm, policy } = snapshot, mode = arm?.values.mode ?? "NONE";
  state.snapshot = snapshot;
  put(at("mode"), mode);
  document.querySelector("header").dataset.mode = mode;
  put(at("verdict"), arm?.message ?? "the arm node is not heard");
  at("verdict").className = arm ? LEVELS[arm.level] : "bad";
  at("enable").classList.toggle("next", mode === "DISARMED");
  at("reset").classList.toggle("next", mode === "STOPPED");
  readings(at("readings"), measured(snapshot));
  state.recorder.show(snapshot.recorder);
  state.episodes.follow(snapshot.recorder);
  put(at("current"), policy?.values.instruction || "no instruction");
  put(at("thought"), policy?.message ?? "");
  for (const view of state.views) {
    const lost = snapshot.recorder?.values[`${view.name}_lost`];
    view.path = snapshot.paths[view.name] ?? [];
    view.lost = lost === undefined ? "" : ` · ${lost} lost`;
  }
  state.plots.add(performance.now() / 1000, samples(snapshot, state.page.caps));
}

/** What the arm does, as texts with their units. */
function measured({ arm, motion, command, latency }) {
  const values = arm?.values ?? {}, fixed = (value, digits, unit) => value == null ? "–" : `${value.toFixed(digits)} ${unit}`;
  const [x, y, z] = (motion?.position ?? [null, null, null]).map((value) => value == null ? null : 1000 * value);
  return {
    "tool x": fixed(x, 0, "mm"), "tool y": fixed(y, 0, "mm"), "tool z": fixed(z, 0, "mm"),
    speed: fixed(command && 1000 * command.speed, 0, "mm/s"), gripper: fixed(motion?.gripper == null ? null : 100 * motion.gripper, 0, "% closed"), missed: values.missed ?? "–",
    "chunk age": fixed(number(values.chunk_age_ms), 0, "ms"), "feedback age": fixed(number(values.feedback_age_ms), 1, "ms"), "light to motion": fixed(latency.motion_p50_ms, 0, "ms"),
  };
}

function hear(text) {
  const message = JSON.parse(text);
  if (message.snapshot) show(message.snapshot);
  for (const [name, entries] of Object.entries(message)) if (name !== "snapshot") news(name, entries);
}

/** Lines that came before, over a connection that was lost, are not shown again; a service that was started anew counts from 1. */
function news(name, entries) {
  const last = entries[entries.length - 1].number;
  if (last < state.told[name]) state.told[name] = 0;
  const fresh = entries.filter((entry) => entry.number > state.told[name]);
  state.told[name] = last;
  prepend(at(name), fresh);
  if (name === "verdicts") state.timeline.add(fresh);
}

/** What is shown is old when nothing came, or when what came is about an arm that is not heard. */
function tick() {
  const now = performance.now(), silent = now - state.link.heard, armAge = state.snapshot?.arm?.age_ms ?? 0;
  const age = Math.max(silent, silent + armAge);
  const old = !state.link.heard || age > OLD;
  put(at("link"), silent > OLD || !state.link.heard ? "no connection" : old ? "robot not heard" : "live");
  at("link").className = `badge ${old ? "bad" : "ok"}`;
  at("stale").hidden = !old;
  put(at("stale"), state.link.heard ? `What is shown is ${(age / 1000).toFixed(0)} s old.` : "Nothing has come from the service yet.");
  state.link.check(now);
}

function remembered() {
  try { return JSON.parse(localStorage.getItem(HISTORY)) ?? []; } catch { return []; }
}

function remember(text) {
  const list = [text, ...remembered().filter((other) => other !== text)].slice(0, 20);
  try { localStorage.setItem(HISTORY, JSON.stringify(list)); } catch { /* a browser that keeps nothing */ }
  offer();
}

function offer() {
  const sentences = [...new Set([...remembered(), ...state.page.tasks])];
  at("sentences").replaceChildren(...sentences.map((text) => Object.assign(document.createElement("option"), { value: text })));
  at("tasks").replaceChildren(...state.page.tasks.map((text) => {
    const button = Object.assign(document.createElement("button"), { textContent: text, type: "button" });
    button.dataset.scope = "drive";
    button.onclick = () => instruct(text);
    return button;
  }));
  permit();
}

function instruct(text) {
  at("instruction").value = text;
  if (text) remember(text);
  wish("instruction", { text });
}

/** What this token does not allow cannot be pressed. Stop always can. */
function permit() {
  for (const button of document.querySelectorAll("[data-scope]")) button.disabled = !state.page.scopes.includes(button.dataset.scope);
}

function listen() {
  at("stop").addEventListener("pointerdown", (event) => { event.preventDefault(); stop(event); });
  at("stop").addEventListener("click", (event) => event.detail || stop(event));  // Enter, a screen reader, a voice: no pointer
  addEventListener("keydown", (event) => {
    if (event.code !== "Space" || event.target.matches("input:not([type=checkbox]):not([type=range]), textarea")) return;
    event.preventDefault();
    if (!event.repeat) stop(event);
  }, true);
  addEventListener("keyup", (event) => event.code === "Space" && event.target.matches("button, summary") && event.preventDefault(), true);
  at("say").onsubmit = (event) => { event.preventDefault(); instruct(at("instruction").value.trim()); };
  at("calm").onchange = () => at("log").classList.toggle("calm", at("calm").checked);
  at("idle").onclick = () => instruct("");
  for (const name of ["enable", "disable", "reset"]) at(name).onclick = () => wish(name);
  at("login").onsubmit = async (event) => {
    event.preventDefault();
    try { await ask("POST", "/api/session", { token: at("token").value }); location.reload(); } catch (error) { say(error.message, 2); }
  };
}

async function enter() {
  try {
    state.page = await ask("GET", "/api/page");
  } catch (error) {
    if (error.status === 401) {
      at("login").hidden = false;
      at("link").textContent = "token needed";
      at("token").focus();
      return;
    }
    say("the service does not answer", 2);
    setTimeout(enter, 1000);
    return;
  }
  open();
}

function open() {
  const { page } = state;
  document.querySelector("main").hidden = false;
  at("robot").textContent = `${page.robot} · ${page.version}`;
  state.plots = new Plots(at("plots"));
  state.views = Object.entries(page.cameras).map(([name, shape]) => new View(name, shape, at("views")));
  new Pad({ pad: at("pad"), share: at("share"), tool: at("toolframe"), typing: at("typing"), state: at("padstate") });
  state.recorder = new Recorder(at, { press: (event) => wish(`recorder/${event}`), may: () => page.scopes.includes("record") });
  state.episodes = new Episodes(at);
  state.link = new Link(wire("/api/telemetry"), { hear });
  offer();
  ask("GET", "/api/policies").then((cards) => showPolicies(at("policies"), cards), (error) => say(error.message, 2));
  setInterval(tick, 250);
  setInterval(() => state.plots.draw(), 200);
  setInterval(() => state.timeline.draw(), 500);
  setInterval(() => state.views.forEach((view) => view.tick(performance.now())), 1000);
}

listen();
enter();
Object.assign(window, { vlaRos: state });
