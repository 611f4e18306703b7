/** Driving by hand: buttons that are held, and a gamepad with a clutch. Nothing is sent but while something is held. @module */
import { wire } from "./ask.js";
import { Link } from "./link.js";

const PERIOD = 50, CLUTCH = 5, DEAD = 0.12;
const KEYS = [
  ["+x", 0, 1], ["−x", 0, -1], ["+y", 1, 1], ["−y", 1, -1], ["up", 2, 1], ["down", 2, -1],
  ["roll +", 3, 1], ["roll −", 3, -1], ["pitch +", 4, 1], ["pitch −", 4, -1], ["yaw +", 5, 1], ["yaw −", 5, -1],
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
  constructor({ pad, share, tool, state }) {
    Object.assign(this, { share, tool, state });
    this.held = new Map();
    this.gripper = null;
    this.driving = false;
    for (const [label, axis, sign] of KEYS) this.key(pad, label, [axis, sign]);
    this.fingers(pad, "open", 0);
    this.fingers(pad, "close", 1);
    for (const event of ["blur", "pagehide"]) addEventListener(event, () => this.release());
    document.addEventListener("visibilitychange", () => document.hidden && this.release());
    setInterval(() => this.beat(), PERIOD);
  }

  key(parent, label, motion) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.dataset.scope = "drive";
    const down = (event) => { event.preventDefault(); this.held.set(button, motion); button.classList.add("held"); this.beat(); };
    const up = () => { this.held.delete(button); button.classList.remove("held"); this.beat(); };
    button.addEventListener("pointerdown", (event) => { button.setPointerCapture(event.pointerId); down(event); });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) button.addEventListener(name, up);
    button.addEventListener("keydown", (event) => event.key === "Enter" && !event.repeat && down(event));
    button.addEventListener("keyup", (event) => event.key === "Enter" && up());
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    parent.append(button);
  }

  /** Opening and closing goes with the clutch too: while the button is held. */
  fingers(parent, label, target) {
    this.key(parent, label, [0, 0]);
    const button = parent.lastChild;
    button.addEventListener("pointerdown", () => { this.gripper = target; });
    button.addEventListener("keydown", (event) => { if (event.key === "Enter") this.gripper = target; });
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
