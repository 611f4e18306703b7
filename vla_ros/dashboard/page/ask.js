/** Requests to the service. @module */

/** An answer other than 2xx: `status` and the service's own words. */
export class Refused extends Error {
  constructor(status, text) { super(text); this.status = status; }
}

/** Ask with a method and a JSON body; the answer's JSON. Throws Refused, or TypeError where nobody answers. */
export async function ask(method, path, body) {
  const options = { method, headers: body === undefined ? {} : { "content-type": "application/json" }, credentials: "same-origin" };
  if (body !== undefined) options.body = JSON.stringify(body);
  const answer = await fetch(path, options);
  const value = answer.status === 204 ? null : await answer.json().catch(() => ({ detail: answer.statusText }));
  if (!answer.ok) throw new Refused(answer.status, value.detail ?? answer.statusText);
  return value;
}

/** The address of a WebSocket of this service. */
export function wire(path) {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
}
