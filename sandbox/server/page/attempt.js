// The form: a program, and tests to judge it by.

import { ask } from "./api.js";
import { byId, element, verdict } from "./dom.js";
import { duration, mebibytes } from "./format.js";

const PATIENCE_MS = 600_000;
const SAMPLES = {
  function: "def add(a, b):\n    return a + b\n",
  stdio: "a, b = map(int, input().split())\nprint(a + b)\n",
  run: "print(\"Hello\", input())\n",
};
const SAMPLE_TESTS = "assert add(2, 2) == 4\nassert add(-1, 1) == 0\n";

export class Attempt {
  /** `failed` is told of errors of the connection. */
  constructor(failed) {
    this.failed = failed;
    this.form = byId("attempt-form");
    this.mode = "function";
    this.loading = null;
    byId("code").value = SAMPLES.function;
    byId("asserts").value = SAMPLE_TESTS;
    byId("stdin").value = "world\n";
    this.addPair("2 3\n", "5\n");
    byId("add-pair").addEventListener("click", () => this.addPair("", "").querySelector("textarea").focus());
    for (const radio of this.form.elements.mode) radio.addEventListener("change", () => this.choose(radio.value));
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    });
  }

  /** Offers the languages that the server has, once they are known; asked again where that failed. */
  load() {
    this.loading ??= this.offerLanguages().catch((error) => {
      this.loading = null;
      this.failed(error);
    });
  }

  async offerLanguages() {
    const info = await ask("GET", "/v1/info", undefined, PATIENCE_MS);
    const chosen = byId("language").value;
    byId("language").replaceChildren(...info.languages.map((name) => element("option", { value: name }, name)));
    if (info.languages.includes(chosen)) byId("language").value = chosen;
  }

  choose(mode) {
    const code = byId("code");
    if (code.value === SAMPLES[this.mode]) code.value = SAMPLES[mode];
    this.mode = mode;
    byId("asserts-label").hidden = mode !== "function";
    byId("pairs").hidden = byId("add-pair").hidden = mode !== "stdio";
    byId("stdin-label").hidden = mode !== "run";
    const language = byId("language");
    if (mode === "function") language.value = "python";
    language.disabled = mode === "function";
  }

  addPair(stdin, stdout) {
    const field = (label, value) => {
      const text = element("textarea", { rows: "3", spellcheck: "false" });
      text.value = value;
      return element("label", { class: "text" }, label, text);
    };
    const remove = element("button", { type: "button", class: "quiet" }, "Remove");
    const pair = element("div", { class: "pair" }, field("Input", stdin), field("Expected output", stdout), remove);
    remove.addEventListener("click", () => { if (byId("pairs").children.length > 1) pair.remove(); });
    byId("pairs").append(pair);
    return pair;
  }

  limits() {
    const limits = {};
    if (byId("cpu").value) limits.cpu_s = byId("cpu").valueAsNumber;
    if (byId("memory").value) limits.memory_bytes = Math.round(byId("memory").valueAsNumber * 2 ** 20);
    return limits;
  }

  tests() {
    if (this.mode === "function") return [byId("asserts").value];
    return [...byId("pairs").children].map((pair) => {
      const [stdin, stdout] = pair.querySelectorAll("textarea");
      return { stdin: stdin.value, stdout: stdout.value };
    });
  }

  async submit() {
    const button = byId("submit");
    if (button.disabled) return;
    button.disabled = true;
    byId("answer").replaceChildren("Running");
    try {
      byId("answer").replaceChildren(...(this.mode === "run" ? await this.run() : await this.judge()));
    } catch (error) {
      byId("answer").replaceChildren(element("p", { class: "error" }, error.message || "the server wants a token"));
      this.failed(error);
    } finally {
      button.disabled = false;
    }
  }

  async judge() {
    const problem = { id: "page", kind: this.mode, tests: this.tests(), language: byId("language").value };
    const { keys } = await ask("PUT", "/v1/problems", { problems: [problem] });
    const submissions = [{ problem: keys[0], code: byId("code").value }];
    const { results } = await ask("POST", "/v1/judge", { submissions, limits: this.limits() }, PATIENCE_MS);
    if (results[0].error) throw new Error(results[0].error.message);
    const result = results[0].result;
    const summary = `${result.passed} of ${result.total} tests passed`;
    const rows = result.tests.map((test, index) => element("tr", {},
      element("td", { class: "number" }, String(index + 1)), element("td", {}, verdict(test.verdict)),
      element("td", { class: "number" }, duration(test.wall_s)), element("td", { class: "message" }, test.message)));
    const heads = ["test", "verdict", "time", "message"].map((name) => element("th", { scope: "col" }, name));
    return [...summarised(result, summary),
      element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows))];
  }

  async run() {
    const body = {
      programs: [{ code: byId("code").value, stdin: byId("stdin").value }],
      language: byId("language").value, limits: this.limits(),
    };
    const { results } = await ask("POST", "/v1/run", body, PATIENCE_MS);
    if (results[0].error) throw new Error(results[0].error.message);
    const result = results[0].result;
    const ended = typeof result.exit_code === "number" ? `exit status ${result.exit_code}` : "killed by a signal";
    return [...summarised(result, ended), ...output("Standard output", result.stdout), ...output("Standard error", result.stderr)];
  }
}

function summarised(result, what) {
  const used = `${duration(result.cpu_s)} of CPU time, ${mebibytes(result.peak_memory_bytes)}`;
  const lines = [element("p", { class: "summary" }, verdict(result.verdict), ` · ${what} · ${used}`)];
  const isToldBelow = result.tests?.some((test) => test.message === result.message);
  if (result.message && !isToldBelow) lines.push(element("p", { class: "message" }, result.message));
  return lines;
}

function output(name, text) {
  return text ? [element("p", { class: "hint" }, name), element("pre", { tabindex: "0" }, text)] : [];
}
