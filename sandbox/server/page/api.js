// The server's answers. The token stays in this tab.

const KEY = "qrpo-sandbox-token";

/** The server wants another token. */
export class Unauthorized extends Error {}

/** The server cannot be reached. */
export class Gone extends Error {}

/** Takes a token from the address bar, where `#token=...` may have come from a terminal, and leaves none there. */
export function takeTokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return;
  history.replaceState(null, "", location.pathname + location.search);
  keepToken(given);
}

export const keepToken = (token) => sessionStorage.setItem(KEY, token.trim());
export const forgetToken = () => sessionStorage.removeItem(KEY);
export const hasToken = () => sessionStorage.getItem(KEY) !== null;

/** Asks the server; throws Unauthorized, Gone, or an Error with the server's own message. */
export async function ask(method, path, body, patienceMs = 10_000) {
  const headers = { Accept: "application/json" };
  const token = sessionStorage.getItem(KEY);
  // A header carries no more than this; what else was typed is no token.
  if (token && /^[\x21-\x7e]+$/.test(token)) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    headers["X-Client"] = "page";
  }
  const answer = await reach(path, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store",
    signal: AbortSignal.timeout(patienceMs),
  });
  if (answer.response.status === 401) throw new Unauthorized();
  const row = parsed(answer.text);
  if (!answer.response.ok) throw new Error(row?.error?.message ?? `the server answered ${answer.response.status}`);
  if (row === undefined) throw new Error("the answer of the server was cut short");
  return row;
}

async function reach(path, options) {
  try {
    const response = await fetch(path, options);
    return { response, text: await response.text() };
  } catch {
    throw new Gone("the server does not answer");
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
