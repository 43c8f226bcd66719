// The page: asks for the token where one is needed, then asks for the numbers each second.

import { ask, forgetToken, Gone, hasToken, keepToken, takeTokenFromAddress, Unauthorized } from "./api.js";
import { Attempt } from "./attempt.js";
import { Dashboard } from "./dashboard.js";
import { byId } from "./dom.js";
import { Failures } from "./failures.js";
import { clock } from "./format.js";

const EVERY_MS = 1000;
const STATES = { ready: "Ready", overloaded: "Overloaded", draining: "Draining", gone: "Not reachable", locked: "Token needed" };
const NOTICES = {
  overloaded: "The queue is full: the server refuses work for now, and tells clients when to come again.",
  draining: "The server is about to end: it finishes what it has and takes nothing new.",
};

const dashboard = new Dashboard();
const failures = new Failures();
const attempt = new Attempt(failed);
let started = null;
let goneSince = null;
let timer = null;
let isAsking = false;

function setState(state, notice = NOTICES[state] ?? "") {
  const label = byId("state");
  if (label.textContent !== STATES[state]) label.textContent = STATES[state];
  label.className = `state ${state}`;
  const line = byId("notice");
  if (line.textContent !== notice) line.textContent = notice;
  line.hidden = !notice;
  line.classList.toggle("gone", state === "gone");
}

function lock() {
  const isWrong = hasToken();
  forgetToken();
  started = null;
  byId("content").hidden = byId("sections").hidden = true;
  byId("facts").textContent = "";
  byId("login").hidden = false;
  byId("token-error").textContent = isWrong ? "This is not the server's token." : "";
  byId("token").value = "";
  byId("token").focus();
  setState("locked");
}

function failed(error) {
  if (error instanceof Unauthorized) {
    lock();
  } else if (error instanceof Gone) {
    goneSince ??= Date.now() / 1000;
    setState("gone", `No answer since ${clock(goneSince)}. The numbers are from before; trying again each second.`);
  }
}

async function poll() {
  if (isAsking) return;
  isAsking = true;
  clearTimeout(timer);
  try {
    const seconds = document.querySelector("[name=window]:checked").value;
    const stats = await ask("GET", `/v1/stats?window_s=${seconds}&after=${started === null ? 0 : failures.newest}`);
    goneSince = null;
    show(stats);
  } catch (error) {
    failed(error);
    if (!(error instanceof Unauthorized || error instanceof Gone)) setState("gone", error.message);
  } finally {
    isAsking = false;
    if (byId("login").hidden && !document.hidden) timer = setTimeout(poll, EVERY_MS);
  }
}

function show(stats) {
  byId("login").hidden = true;
  byId("content").hidden = byId("sections").hidden = false;
  setState(stats.state);
  if (started !== stats.started) {
    const isFirst = started === null;
    started = stats.started;
    failures.clear();
    attempt.loading = null;
    // Another server: those that it has were asked for from where the last one's numbers ended.
    if (!isFirst) return;
  }
  attempt.load();
  dashboard.show(stats);
  failures.add(stats.failures);
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(byId("token").value);
  poll();
});
byId("window").addEventListener("change", poll);
document.addEventListener("visibilitychange", () => { if (!document.hidden && byId("login").hidden) poll(); });
addEventListener("hashchange", () => { takeTokenFromAddress(); if (hasToken()) poll(); });

takeTokenFromAddress();
poll();
