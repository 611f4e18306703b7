/** Driving by hand: buttons or keys that are held, and a gamepad with a clutch. Nothing is sent but while something is held. @module */
import { wire } from "./ask.js";
import { Link } from "./link.js";

const PERIOD = 50, CLUTCH = 5, DEAD = 0.12;
/** Label, axis, sign, and the key that does it (those of `vla-ros teleop`): x forward, y left, z up. A number is where the fingers go. */
const KEYS = [
  ["turn left", 5, 1, "KeyQ"], ["forward", 0, 1, "KeyW"], ["turn right", 5, -1, "KeyE"], ["up", 2, 1, "KeyR"], ["open", 0, null, "KeyO"],
  ["left", 1, 1, "KeyA"], ["back", 0, -1, "KeyS"], ["right", 1, -1, "KeyD"], ["down", 2, -1, "KeyF"], ["close", 1, null, "KeyC"],
  ["roll +", 3, 1, "KeyL"], ["roll −", 3, -1, "KeyJ"], ["pitch +", 4, 1, "KeyI"], ["pitch −", 4, -1, "KeyK"],
];

/** The six shares that held keys ([axis, sign] each) make. */
export function shares(held, share) {
  const move = [0, 0, 0, 0, 0, 0];
  for (const [axis, sign] of held) move[axis] += sign * share;
  return move.map((value) => Math.max(-1, Math.min(1, value)));
}

/** The six shares of a gamepad in the standard layout (W3C Gamepad), or null while its clutch is open. */
export function gamepadShares(pad, share) {
  if (!pad?.buttons[CLUTCH]?.pressed) return null;
  const stick = (k) => Math.abs(pad.axes[k] ?? 0) < DEAD ? 0 : pad.axes[k] * share;
  const rise = ((pad.buttons[7]?.value ?? 0) - (pad.buttons[6]?.value ?? 0)) * share;
  return [-stick(1), -stick(0), rise, 0, -stick(3), -stick(2)];
}

export class Pad {
  constructor({ pad, share, tool, typing, state }) {
    Object.assign(this, { share, tool, typing, state });
    this.held = new Map();
    this.byKey = new Map();
    this.gripper = null;
    this.driving = false;
    for (const key of KEYS) this.key(pad, ...key);
    for (const event of ["blur", "pagehide"]) addEventListener(event, () => this.release());
    document.addEventListener("visibilitychange", () => document.hidden && this.release());
    addEventListener("keydown", (event) => this.typed(event));
    addEventListener("keyup", (event) => this.byKey.get(event.code)?.up());
    typing.addEventListener("change", () => this.release());
    setInterval(() => this.beat(), PERIOD);
  }

  /** A button: with a sign it moves along an axis; without, it moves the fingers, which goes with the clutch too. */
  key(parent, label, axis, sign, code) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: label });
    button.dataset.scope = "drive";
    const down = (event) => {
      event.preventDefault();
      if (sign === null) this.gripper = axis;
      this.held.set(button, sign === null ? [0, 0] : [axis, sign]);
      button.classList.add("held");
      this.beat();
    };
    const up = () => { if (this.held.delete(button)) { button.classList.remove("held"); this.beat(); } };
    button.addEventListener("pointerdown", (event) => { button.setPointerCapture(event.pointerId); down(event); });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) button.addEventListener(name, up);
    button.addEventListener("keydown", (event) => event.key === "Enter" && !event.repeat && down(event));
    button.addEventListener("keyup", (event) => event.key === "Enter" && up());
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    this.byKey.set(code, { button, down, up });
    parent.append(button);
  }

  /** Letters drive only while "keys" is ticked, and never in a text field. */
  typed(event) {
    const meant = this.byKey.get(event.code);
    if (!meant || !this.typing.checked || event.repeat || event.ctrlKey || event.altKey || event.metaKey || meant.button.disabled) return;
    if (!event.target.matches("input:not([type=checkbox]):not([type=range]), textarea")) meant.down(event);
  }

  release() {
    for (const button of this.held.keys()) button.classList.remove("held");
    this.held.clear();
    this.beat();
  }

  wanted() {
    const share = Number(this.share.value);
    if (this.held.size) return shares(this.held.values(), share);
    return document.hidden ? null : gamepadShares([...(navigator.getGamepads?.() ?? [])].find(Boolean), share);
  }

  beat() {
    const move = this.wanted();
    if (!move && !this.driving) return;
    this.link ??= new Link(wire("/api/teleop"), { silence: Infinity, hear: (text) => this.told(JSON.parse(text)) });
    this.link.send(JSON.stringify({ t: performance.now(), clutch: Boolean(move), move: move ?? [0, 0, 0, 0, 0, 0], tool: this.tool.checked, gripper: this.gripper }));
    this.driving = Boolean(move);
    if (!move) this.gripper = null;
    this.state.textContent = move ? "driving" : "";
  }

  told({ refused }) { this.state.textContent = refused; }
}
