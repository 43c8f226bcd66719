// The newest submissions that were not accepted, as they come.

import { byId, element, verdict } from "./dom.js";
import { clock } from "./format.js";

const MOST = 200;

export class Failures {
  constructor() {
    this.rows = [];
    this.waiting = 0;
    this.filter = byId("failure-filter");
    this.list = byId("failure-list");
    this.filter.addEventListener("change", () => this.draw());
  }

  /** The number of the newest. */
  get newest() {
    return this.rows[0]?.number ?? 0;
  }

  /** Forgets all: they were those of a server that is there no more. */
  clear() {
    this.rows = [];
    this.draw();
  }

  /** Takes new ones, in order. They are shown when nobody reads those that are. */
  add(failures) {
    this.waiting += failures.length;
    const isRead = this.list.matches(":hover, :focus, :focus-within") || this.list.scrollTop > 0;
    byId("held").textContent = isRead && this.waiting ? "newer ones are held while you read" : "";
    this.rows = [...failures.toReversed(), ...this.rows].slice(0, MOST);
    for (const name of new Set(failures.map((failure) => failure.outcome))) {
      const isKnown = [...this.filter.options].some((option) => option.value === name);
      if (!isKnown) this.filter.append(element("option", { value: name }, name));
    }
    if (this.waiting && !isRead) this.draw();
  }

  draw() {
    this.waiting = 0;
    const shown = this.rows.filter((row) => !this.filter.value || row.outcome === this.filter.value);
    byId("no-failures").hidden = shown.length > 0;
    byId("failure-rows").replaceChildren(...shown.map((row) => element("tr", {},
      element("td", { class: "time" }, clock(row.time)),
      element("td", {}, verdict(row.outcome)),
      element("td", {}, row.problem_id ?? "run"),
      element("td", { class: "message" }, row.message),
      element("td", { class: "id" }, row.client),
      element("td", { class: "id" }, row.request_id))));
  }
}
