/** Live plots of the last half minute. @module */
/* global uPlot */
const SPAN = 30, KEPT = 15 * SPAN, HEIGHT = 130;
const COLOURS = ["#1f77b4", "#d95f02", "#1b9e77", "#9467bd", "#c62828"];

/** The number of a text, or null: nothing is drawn there. */
export function number(text) {
  const value = Number.parseFloat(text);
  return Number.isFinite(value) ? value : null;
}

/** The plots' values of a snapshot, in the order of PLOTS; caps as in /api/page. */
export function samples(snapshot, caps) {
  const arm = snapshot.arm?.values ?? {}, command = snapshot.command, latency = snapshot.latency;
  return [
    [command ? command.speed / caps.speed : null, command ? command.turn / caps.turn : null, 1],
    [snapshot.motion?.gripper ?? null, number(arm.gripper_command)],
    [number(arm.chunk_age_ms), number(arm.feedback_age_ms)],
    ["received", "encoded", "decided", "command", "motion"].map((stage) => latency[`${stage}_p50_ms`] ?? null),
    [number(arm.seam_gap_mm), scaled(number(arm.seam_jump_m_s), 1000)],
  ];
}

/** Three digits, and no more than three behind the point. */
function short(value) { return String(Number(Number(value.toPrecision(3)).toFixed(3))); }

function scaled(value, factor) { return value === null ? null : value * factor; }

export const PLOTS = [
  ["speed, share of the cap", ["way", "turn", "cap"]],
  ["gripper, 0 open … 1 closed", ["measured", "commanded"], [-0.05, 1.05]],
  ["ages, ms", ["chunk", "feedback"]],
  ["since exposure, median ms", ["received", "encoded", "decided", "command", "motion"]],
  ["last seam", ["gap mm", "jump mm/s"]],
];

export class Plots {
  constructor(parent) {
    this.parent = parent;
    this.seen = new Set();
    this.watch = new IntersectionObserver((changes) => changes.forEach((one) => this.seen[one.isIntersecting ? "add" : "delete"](one.target)));
    this.drawn = 0;
    this.data = PLOTS.map(([, names]) => [[], ...names.map(() => [])]);
    this.charts = PLOTS.map(([title, names, range], k) => this.chart(title, names, this.data[k], range));
    new ResizeObserver(() => this.fit()).observe(parent);
  }

  chart(title, names, data, range) {
    const holder = document.createElement("div");
    holder.className = "plot";
    this.parent.append(holder);
    this.watch.observe(holder);
    const ink = () => getComputedStyle(document.body).color, grid = { stroke: "#8884", width: 1 };
    const series = names.map((label, k) => ({ label, stroke: COLOURS[k], width: 1.5, value: (_, v) => v == null ? "–" : short(v) }));
    return new uPlot({
      title, width: 280, height: HEIGHT, legend: { live: true }, cursor: { y: false },
      series: [{ label: "s" }, ...series],
      scales: { x: { time: false, range: (chart, low, high) => [high - SPAN, high] }, y: range ? { range } : {} },
      axes: [{ stroke: ink, grid, size: 26, values: (chart, at) => at.map((v) => Math.round(v - chart.data[0].at(-1))) }, { stroke: ink, grid, size: 46 }],
    }, data, holder);
  }

  fit() { for (const chart of this.charts) chart.setSize({ width: chart.root.parentElement.clientWidth, height: HEIGHT }); }

  add(seconds, values) {
    this.data.forEach((data, k) => {
      data[0].push(seconds);
      values[k].forEach((value, j) => data[j + 1].push(value));
      if (data[0].length > KEPT) for (const column of data) column.shift();
    });
  }

  /** Draw what can be seen: the browser has Stop and pictures to attend to. */
  draw() {
    const legends = this.drawn++ % 4 === 0;
    this.charts.forEach((chart, k) => {
      if (!this.seen.has(chart.root.parentElement)) return;
      chart.setData(this.data[k]);
      if (legends && chart.cursor.left < 0) chart.setLegend({ idx: this.data[k][0].length - 1 });  // the newest, unless one is pointed at
    });
  }
}
