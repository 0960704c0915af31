// Talks to the server, and keeps what is not saved yet until it is: in this browser, also when the tab is closed.

const RETRY_MILLISECONDS = 2000;
const WAITING = "segdata-review-waiting ";

export class Refused extends Error {
  constructor(status, body) {
    super(body.message || `the server answered ${status}`);
    this.status = status;
    this.body = body;
  }
}

async function answered(response) {
  if (response.ok) return response;
  let body = {};
  try {
    body = await response.json();
  } catch {
    body = { message: response.status === 403 ? "closed" : "" };
  }
  throw new Refused(response.status, body);
}

export function address(path, values = {}) {
  const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== undefined && value !== ""));
  return `${path}?${query}`;
}

async function ask(path, values, options) {
  let response;
  try {
    response = await fetch(address(path, values), options);
  } catch {
    throw new Error("segdata review does not answer");
  }
  return answered(response);
}

export async function get(path, values) {
  return (await ask(path, values)).json();
}

export async function getNumbers(path, values) {
  return new Uint32Array(await (await ask(path, values)).arrayBuffer());
}

export function pictureOf(url) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("the picture could not be loaded"));
    image.src = url;
  });
}

// The saves that are not answered yet: of each sample the one that was sent, which is sent again as it is until it is
// answered, and one more, which takes in all that is done meanwhile.
export class Outbox {
  constructor(scope, { onState, onSaved, onConflict }) {
    Object.assign(this, { onState, onSaved, onConflict });
    this.scope = `${WAITING}${scope} `;
    this.waiting = new Map(); // key: one or two saves
    this.stopped = new Set(); // keys with a conflict that someone must settle first
    this.isSending = false;
    this.isUsed = false;
    this.fault = "";
    this.timer = 0;
    for (const name of Object.keys(localStorage)) {
      if (!name.startsWith(this.scope)) continue;
      try {
        this.waiting.set(name.slice(this.scope.length), JSON.parse(localStorage.getItem(name)));
      } catch {
        localStorage.removeItem(name);
      }
    }
  }

  // All that is not saved yet of a sample as one save, or undefined.
  of(key) {
    const [first, second] = this.waiting.get(key) ?? [];
    if (!second) return first;
    const { mask, drawn_on } = second.mask === "keep" ? first : second;
    return { ...second, version: first.version, mask, drawn_on };
  }

  put(key, saving) {
    const list = this.waiting.get(key) ?? [];
    const last = list.at(-1);
    const whole = { ...saving, request: crypto.randomUUID() };
    if (last && !last.tried) {
      if (whole.mask === "keep") Object.assign(whole, { mask: last.mask, drawn_on: last.drawn_on });
      list.pop();
    }
    list.push(whole);
    this.isUsed = true;
    this.keep(key, list);
    this.send();
  }

  keep(key, list) {
    this.waiting.set(key, list);
    try {
      localStorage.setItem(this.scope + key, JSON.stringify(list));
    } catch {
      // The browser keeps no more; what waits is still in this tab.
    }
  }

  forget(key) {
    this.waiting.delete(key);
    this.stopped.delete(key);
    localStorage.removeItem(this.scope + key);
    this.tell();
  }

  // After a conflict: puts what waits in the place of the version that stands.
  resume(key, version) {
    const saving = this.of(key);
    this.forget(key);
    if (saving) this.put(key, { ...withoutMarks(saving), version });
  }

  async send() {
    clearTimeout(this.timer);
    this.tell();
    if (this.isSending) return;
    const key = [...this.waiting.keys()].find((each) => !this.stopped.has(each));
    if (key === undefined) return;
    const list = this.waiting.get(key);
    const [saving] = list;
    saving.tried = true;
    this.keep(key, list);
    this.isSending = true;
    try {
      const response = await ask("/api/decision", { key }, {
        method: "PUT",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ...withoutMarks(saving), request: saving.request }),
      });
      const saved = await response.json();
      this.fault = "";
      list.shift();
      if (list.length) {
        list[0].version = saved.version; // made on what has just been saved
        this.keep(key, list);
      } else {
        this.forget(key);
      }
      this.onSaved(key, saved);
    } catch (error) {
      this.failed(key, error);
    }
    this.isSending = false;
    this.tell();
    if (this.fault) this.timer = setTimeout(() => this.send(), RETRY_MILLISECONDS);
    else this.send();
  }

  failed(key, error) {
    const status = error instanceof Refused ? error.status : 0;
    if (status === 409) {
      this.stopped.add(key);
      this.keep(key, [this.of(key)]);
      this.onConflict(key, this.of(key), error.body.sample);
    } else if ([400, 404, 413, 422].includes(status)) {
      this.forget(key); // it would never be taken
      this.fault = `${key} was not saved: ${error.message}`;
    } else if (status === 403) {
      this.fault = "not saved: segdata review was started again; open the address that it printed";
    } else {
      this.fault = `not saved yet, trying again: ${error.message}`;
    }
  }

  tell() {
    this.onState({ waiting: this.waiting.size, fault: this.fault, any: this.isUsed });
  }
}

function withoutMarks({ tried, request, ...saving }) {
  return saving;
}
