// What /v1/stats tells, as charts and tables.

import { Chart } from "./chart.js";
import { byId, element, figure, verdict } from "./dom.js";
import { duration, number, percent } from "./format.js";
import { drawSpread } from "./spread.js";

const MEANINGS = {
  AC: "accepted", WA: "wrong result", RE: "raised or exited", TLE: "out of time", MLE: "out of memory",
  OLE: "too much output", CE: "does not compile", NO_CODE: "no program", IE: "the host failed", SKIPPED: "not run",
  problem: "problem of no use", unsupported_language: "language is missing", closed: "server ended",
};
const REFUSALS = { overloaded: "no room (429)", too_large: "too large (413)", draining: "about to end (503)" };

export class Dashboard {
  constructor() {
    this.rate = new Chart(byId("rate-chart"), { name: "Throughput", unit: "per s" });
    this.queue = new Chart(byId("queue-chart"), { name: "Queue", unit: "submissions" });
    this.slots = new Chart(byId("slots-chart"), { name: "Busy slots", unit: "slots" });
  }

  /** Shows an answer of /v1/stats. */
  show(stats) {
    const { window: recent } = stats;
    const line = { step: recent.step_s, end: recent.series_end, started: stats.started };
    figure("rate", number(stats.per_s), "per s, last 10 s");
    this.rate.show({ ...line, values: recent.per_s });
    figure("queue", number(stats.depth), stats.oldest_s ? `queued, the oldest for ${duration(stats.oldest_s)}` : "queued");
    this.queue.show({ ...line, values: recent.depth });
    figure("slots", number(stats.busy), `of ${number(stats.workers)} busy`);
    this.slots.show({ ...line, values: recent.busy, least: stats.workers });
    this.showVerdicts(recent);
    this.showLatency(recent.latency);
    this.showServer(stats);
    byId("facts").textContent = `${stats.enforcement} · ${stats.workers} workers · ${stats.version}`;
  }

  showVerdicts({ outcomes, finished, seconds }) {
    // In one order, whatever the counts: rows that change places cannot be read.
    const rows = Object.keys(MEANINGS).filter((name) => name in outcomes).map((name) => [name, outcomes[name]]);
    figure("finished", number(finished), `done in ${seconds / 60} min`);
    byId("mix").replaceChildren(...rows.map(([name, count]) => {
      const part = element("span", { class: `of-${name}` });
      part.style.flexGrow = count;
      return part;
    }));
    byId("verdicts").replaceChildren(...rows.map(([name, count]) => element("tr", {},
      element("td", {}, element("span", { class: `swatch of-${name}` }), verdict(name)),
      element("td", { class: "meaning" }, MEANINGS[name]),
      element("td", { class: "number" }, number(count)),
      element("td", { class: "number" }, percent(count, finished)))));
  }

  showLatency(latency) {
    const rows = Object.entries(latency).map(([name, values]) => ({ name, ...values }));
    byId("latency").replaceChildren(...rows.map(({ name, p50, p95, p99 }) => element("tr", {},
      element("th", { scope: "row" }, name),
      ...[p50, p95, p99].map((value) => element("td", {}, duration(value))))));
    drawSpread(byId("latency-chart"), rows);
  }

  showServer(stats) {
    const facts = {
      Enforcement: stats.enforcement,
      Version: stats.version,
      Workers: number(stats.workers),
      "Up for": duration(stats.time - stats.started),
      "Clients now": number(stats.clients),
      "Room in the queue": number(stats.capacity - stats.depth),
      "Host failures": number(stats.host_failures),
      "Slots replaced": number(stats.slots_replaced),
    };
    for (const [reason, name] of Object.entries(REFUSALS)) {
      const count = stats.window.refused[reason];
      if (count) facts[`Refused, ${name}`] = number(count);
    }
    byId("server").replaceChildren(...Object.entries(facts).flatMap(
      ([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
  }
}
