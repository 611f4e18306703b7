/** The cameras: the newest JPEG on a canvas, the coming way of the tool over it. @module */
import { wire } from "./ask.js";
import { Link } from "./link.js";

export const OLD = 600;

/** Exposure in ms of Unix time, and the JPEG, of a packet: 8 bytes big-endian ns, then the picture. */
export function unpack(packet) {
  const exposure = Number(new DataView(packet).getBigUint64(0) / 1000n) / 1000;
  return { exposure, jpeg: new Uint8Array(packet, 8) };
}

export class View {
  constructor(name, [width, height], parent) {
    this.name = name;
    this.path = [];
    this.shown = 0;
    this.figure = document.createElement("figure");
    this.figure.style.flex = `${width / height} 1 calc(${width / height} * 9rem)`;  // side by side they are equally high
    this.canvas = document.createElement("canvas");
    this.canvas.width = 4 * width;
    this.canvas.height = 4 * height;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${name} camera`);
    const caption = document.createElement("figcaption");
    this.figures = document.createElement("span");
    caption.append(`${name} camera`, this.figures);
    this.figure.append(this.canvas, caption);
    parent.append(this.figure);
    this.frames = 0;
    this.lost = "";
    this.latencies = [];
    this.link = new Link(wire(`/cameras/${name}?credit=2`), { binary: true, silence: 4000, hear: (data, link) => this.show(data, link) });
  }

  async show(packet, link) {
    const { exposure, jpeg } = unpack(packet);
    try {
      this.picture = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
    } catch { return; } finally { link.send("n"); }
    this.shown = performance.now();
    this.frames += 1;
    this.draw();
    // the browser's clock is the service's on the same host only
    this.latencies.push(Date.now() - exposure);
    if (this.latencies.length > 300) this.latencies.shift();
  }

  draw() {
    const { canvas, picture } = this, pen = canvas.getContext("2d");
    if (!picture) return;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    drawPath(pen, this.path.map(([x, y]) => [x * canvas.width, y * canvas.height]));
  }

  /** Once a second: the rate, how long ago the newest was exposed, and whether what is shown is old. */
  tick(now) {
    const age = this.shown ? now - this.shown : Infinity;
    this.figure.classList.toggle("old", age > OLD);
    this.figures.textContent = !this.shown ? "no picture yet" : age > OLD ? `old: ${(age / 1000).toFixed(1)} s` : `${this.frames} fps${plausible(this.latencies.at(-1))}${this.lost}`;
    this.frames = 0;
    this.link.check(now);
  }
}

/** The age of a picture when it was drawn, unless the two clocks tell different times. */
function plausible(ms) { return ms >= 0 && ms < 5000 ? ` · ${ms.toFixed(0)} ms` : ""; }

function drawPath(pen, points) {
  if (points.length < 2) return;
  pen.lineWidth = 4;
  pen.strokeStyle = "#00e5ff";
  pen.beginPath();
  points.forEach(([x, y], k) => k ? pen.lineTo(x, y) : pen.moveTo(x, y));
  pen.stroke();
  pen.fillStyle = "#ff2d95";
  points.forEach(([x, y], k) => { pen.beginPath(); pen.arc(x, y, k ? 3 : 6, 0, 7); pen.fill(); });
}
