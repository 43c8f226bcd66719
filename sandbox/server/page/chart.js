// A line over time, with axes, and values where the pointer or the arrow keys are.

import { drawn, element } from "./dom.js";
import { clock, number } from "./format.js";

const HEIGHT = 128;
const EDGE = { top: 12, right: 2, bottom: 18, left: 38 };

/** The least round number that is not below a value: where an axis ends. */
export function axisEnd(most) {
  if (most <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((end) => end >= most * 0.999999);
}

/** Draws into an element. `unit` follows values, `name` says what they are. */
export class Chart {
  constructor(host, { name, unit }) {
    this.name = name;
    this.unit = unit;
    this.line = null;
    this.at = null;
    this.svg = drawn("svg", { height: HEIGHT, "aria-hidden": "true" });
    this.readout = element("span", { class: "readout", "aria-live": "off" });
    this.box = element("div", { class: "chart", tabindex: "0", role: "img" }, this.svg, this.readout);
    host.append(this.box);
    this.box.addEventListener("pointermove", (event) => this.pointAt(this.indexAt(event.offsetX)));
    this.box.addEventListener("pointerleave", () => this.pointAt(null));
    this.box.addEventListener("blur", () => this.pointAt(null));
    this.box.addEventListener("keydown", (event) => this.step(event));
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  /** Shows values, `step` s apart, of which the last one ended at `end` (Unix time, s); `least` and up on the axis. */
  show({ values, step, end, least = 1, started = 0 }) {
    // What is before the server's start is not there, which is something else than nothing.
    const first = values.findIndex((_, index) => end - (values.length - 1 - index) * step >= started);
    this.line = { values, step, end, first: first < 0 ? values.length : first, most: axisEnd(Math.max(least, ...values)) };
    const last = values.at(-1) ?? 0;
    const label = `${this.name} over the last ${Math.round((values.length * step) / 60)} min: now ${this.written(last)}, `
      + `most ${this.written(Math.max(0, ...values))}. Arrow keys tell single values.`;
    this.box.setAttribute("aria-label", label);
    this.draw();
  }

  written(value) {
    return `${number(value)} ${this.unit}`;
  }

  draw() {
    const width = this.box.clientWidth;
    if (!this.line || !width) return;
    const { values, step, end, first, most } = this.line;
    const inner = width - EDGE.left - EDGE.right;
    const bottom = HEIGHT - EDGE.bottom;
    this.x = (index) => EDGE.left + (inner * index) / Math.max(1, values.length - 1);
    this.y = (value) => bottom - ((bottom - EDGE.top) * value) / most;
    const shapes = [];
    for (const part of [0, 0.5, 1]) {
      const y = Math.round(this.y(most * part)) + 0.5;
      shapes.push(drawn("line", { class: "grid-line", x1: EDGE.left, x2: width - EDGE.right, y1: y, y2: y }));
      shapes.push(drawn("text", { x: EDGE.left - 6, y: y + 4, "text-anchor": "end" }, number(most * part)));
    }
    shapes.push(drawn("text", { x: 0, y: 4 }, this.unit));
    const span = (values.length - 1) * step;
    for (const [part, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
      const x = EDGE.left + inner * part;
      shapes.push(drawn("text", { x, y: HEIGHT - 3, "text-anchor": anchor }, clock(end - span * (1 - part))));
    }
    const points = values.map((value, index) => `${this.x(index).toFixed(1)},${this.y(value).toFixed(1)}`).slice(first);
    if (points.length) {
      const [from, to] = [this.x(first).toFixed(1), this.x(values.length - 1).toFixed(1)];
      shapes.push(drawn("polygon", { class: "area", points: `${from},${bottom} ${points.join(" ")} ${to},${bottom}` }));
      shapes.push(drawn("polyline", { class: "line", points: points.join(" ") }));
    }
    this.svg.replaceChildren(...shapes);
    this.drawCursor();
  }

  indexAt(offset) {
    if (!this.line || !this.x) return null;
    const last = this.line.values.length - 1;
    const part = (offset - this.x(0)) / (this.x(last) - this.x(0));
    return Math.min(last, Math.max(0, Math.round(part * last)));
  }

  pointAt(index) {
    this.at = index;
    this.readout.setAttribute("aria-live", "off");
    this.draw();
  }

  step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || !this.line) return;
    event.preventDefault();
    const last = this.line.values.length - 1;
    this.pointAt(Math.min(last, Math.max(0, (this.at ?? last + 1) + by)));
    this.readout.setAttribute("aria-live", "polite");
  }

  drawCursor() {
    this.readout.textContent = "";
    if (this.at === null) return;
    const { values, step, end } = this.line;
    const value = values[this.at];
    const x = this.x(this.at);
    this.svg.append(drawn("line", { class: "cursor", x1: x, x2: x, y1: EDGE.top, y2: HEIGHT - EDGE.bottom }));
    this.svg.append(drawn("circle", { class: "dot", cx: x, cy: this.y(value), r: 3 }));
    this.readout.textContent = `${clock(end - (values.length - 1 - this.at) * step)}  ${this.written(value)}`;
  }
}
