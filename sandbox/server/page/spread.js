// Latencies side by side on one logarithmic axis.

import { drawn } from "./dom.js";
const ROW = 20;
const LEFT = 58;
const RIGHT = 2;
const FROM = -4;
const TO = 3;
const LABELS = new Map([[-3, "1 ms"], [-1, "100 ms"], [1, "10 s"], [3, "1000 s"]]);

/** Draws rows of {name, p50, p95, p99} (s, or null) into an element. */
export function drawSpread(host, rows) {
  const width = host.clientWidth;
  if (!width) return;
  const bottom = rows.length * ROW;
  const x = (seconds) => LEFT + ((width - LEFT - RIGHT) * (Math.log10(Math.max(seconds, 1e-4)) - FROM)) / (TO - FROM);
  const shapes = [];
  for (let power = FROM + 1; power <= TO; power += 1) {
    const at = x(10 ** power);
    shapes.push(drawn("line", { class: "grid-line", x1: at, x2: at, y1: 4, y2: bottom }));
    const anchor = power === TO ? "end" : "middle";
    if (LABELS.has(power)) shapes.push(drawn("text", { x: at, y: bottom + 14, "text-anchor": anchor }, LABELS.get(power)));
  }
  rows.forEach(({ name, p50, p95, p99 }, index) => {
    const y = index * ROW + ROW / 2 + 2;
    shapes.push(drawn("text", { x: 0, y: y + 4 }, name));
    if (p50 === null) return;
    shapes.push(drawn("line", { class: "spread", x1: x(p50), x2: x(p99) + 0.01, y1: y, y2: y }));
    shapes.push(drawn("line", { class: "mark", x1: x(p95), x2: x(p95), y1: y - 6, y2: y + 6 }));
  });
  host.replaceChildren(drawn("svg", { height: bottom + 20, "aria-hidden": "true" }, ...shapes));
}
