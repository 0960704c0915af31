// Joins the parts: which screen is shown, which keys do what.

import { address, get, Outbox } from "./api.js";
import { byId, element } from "./dom.js";
import { Keys } from "./keys.js";
import { QueueScreen } from "./queue.js";
import { SampleScreen } from "./sample.js";

const LISTEN_EVERY = 4000; // milliseconds

const site = await get("/api/site").catch((error) => {
  byId("main").replaceChildren(element("p", { className: "empty" }, error.message));
  throw error;
});
const startsWith = site.columns.find(({ name }) => name === site.by);
const START = { show: "undecided", by: site.by, first: startsWith.first, find: "", offset: 0 };
const view = { ...START };
const visited = []; // samples in the order they were looked at, to go back through what is no longer in the queue
let sequence = site.sequence;

byId("dataset").textContent = `${site.dataset} · ${site.reviewer}`;
document.title = `${site.dataset} · segdata review`;

const outbox = new Outbox(`${site.id} ${site.reviewer}`, {
  onState: ({ waiting, fault, any }) => {
    byId("saving").textContent = fault || (waiting ? "saving …" : any ? "saved" : "");
    byId("saving").dataset.fault = Boolean(fault);
  },
  onSaved: (key, said) => {
    sample.saved(key, said);
    sample.showOthers().catch(() => {});
    listen();
  },
  onConflict: (key, saving, theirs) => sample.settle(key, saving, theirs),
});
const queue = new QueueScreen(site, { view, onView: () => go({}), open: (key) => placeOf({ key }) });
const sample = new SampleScreen({ outbox, goTo, longestComment: site.longest_comment });

// The address after # says what is shown, so that the browser's back and reload do what they promise.

function placeOf({ key }) {
  const values = { show: view.show, by: view.by, first: view.first, find: view.find, offset: view.offset || "" };
  return `#${address(key === undefined ? "/" : "/sample", { ...values, key })}`;
}

function go({ key }) {
  const place = placeOf({ key });
  if (location.hash === place) return route();
  location.hash = place;
  return undefined;
}

async function route() {
  const [path, query] = location.hash.slice(1).split("?");
  const values = new URLSearchParams(query);
  if (query === undefined) Object.assign(view, START);
  for (const name of ["show", "by", "first", "find"]) if (values.has(name)) view[name] = values.get(name);
  if (query !== undefined && !values.has("find")) view.find = "";
  view.offset = Number(values.get("offset")) || 0;
  if (!site.filters.includes(view.show)) view.show = START.show;
  if (!site.columns.some(({ name }) => name === view.by)) view.by = START.by;
  const key = path === "/sample" ? values.get("key") : null;
  byId("queue").hidden = key !== null;
  byId("sample").hidden = key === null;
  document.body.dataset.screen = key === null ? "queue" : "sample";
  if (key === null) {
    sample.leave();
    const last = visited.at(-1);
    try {
      await queue.load();
    } catch (error) {
      queue.showFault(error.message);
      return;
    }
    document.querySelector(`.card[href="${CSS.escape(last ? placeOf({ key: last }) : "#")}"]`)?.focus();
    return;
  }
  queue.leave();
  byId("back").href = placeOf({});
  if (visited.at(-1) !== key) visited.push(key);
  byId("stage").focus({ preventScroll: true });
  await sample.open(key);
  showPlace(key).catch(() => {});
}

// Says where the sample stands in the queue, and gets the photo of the next one; neither is needed to go on.
async function showPlace(key) {
  const here = await get("/api/neighbour", { ...query(), key, step: 0 });
  if (sample.key !== key) return;
  byId("place").textContent = here.key === key ? `${(here.place + 1).toLocaleString("en")} of ${here.total.toLocaleString("en")}` : `${here.total.toLocaleString("en")} in the queue`;
  const next = await get("/api/neighbour", { ...query(), key, step: 1 });
  if (next.key && sample.key === key) new Image().src = address("/photo", { key: next.key }); // to be here when it is asked for
}

function query() {
  return { show: view.show, by: view.by, first: view.first, find: view.find };
}

// Goes to the sample before or after this one; after the last, to the first that is left.
async function goTo(step) {
  try {
    await leaveFor(step);
  } catch (error) {
    sample.notice(`there is no going on at the moment: ${error.message}`);
  }
}

async function leaveFor(step) {
  const from = sample.key;
  if (from === null) return;
  const place = location.hash;
  if (step < 0) {
    while (visited.at(-1) === from) visited.pop();
    const before = visited.pop();
    if (before) {
      go({ key: before });
      return;
    }
  }
  let next = await get("/api/neighbour", { ...query(), key: from, step });
  if (!next.key && step > 0) next = await get("/api/neighbour", { ...query(), step: 0 });
  // Who has gone elsewhere meanwhile stays there; the address changes before the screen does.
  if (location.hash !== place) return;
  if (next.key && next.key !== from) go({ key: next.key });
  else if (step > 0) go({});
  else sample.notice("this is the first");
}

// What other windows and reviewers save.
async function listen() {
  clearTimeout(listen.timer);
  try {
    if (!document.hidden) {
      const news = await get("/api/changes", { since: sequence });
      const { sequence: latest, changed, counts } = news;
      sequence = latest;
      queue.showCounts(counts);
      if (changed.some(({ key }) => key === sample.key)) await sample.follow();
    }
  } catch {
    // The outbox says what matters: whether a decision is saved.
  }
  clearTimeout(listen.timer);
  listen.timer = setTimeout(listen, LISTEN_EVERY);
}

const keys = new Keys();
const looking = () => sample.key !== null && sample.sample;
const showing = () => sample.key !== null;
const still = () => looking() && sample.editor.tool === "look";
const drawing = () => looking() && sample.editor.tool !== "look";
const listing = () => !byId("queue").hidden;

for (const [key, verdict, text] of [["a", "accept", "accept, and on to the next"], ["r", "reject", "reject"], ["w", "needs-work", "needs work"], ["u", null, "undecided again"]]) {
  keys.add("Decide", key, text, () => sample.decide(verdict), { when: looking });
}
keys.add("Decide", "c", "write a comment; esc or ctrl+enter ends it", () => byId("comment").focus(), { when: looking });

keys.add("Go", "ArrowRight", "", () => goTo(1), { when: still });
keys.add("Go", "ArrowLeft", "", () => goTo(-1), { when: still });
keys.add("Go", "PageDown", "next sample, next page", () => (listing() ? queue.turn(1) : goTo(1)), { shown: ["→", "page down"] });
keys.add("Go", "PageUp", "previous sample, previous page", () => (listing() ? queue.turn(-1) : goTo(-1)), { shown: ["←", "page up"] });
keys.add("Go", "Escape", "leave the tool, then back to the queue", () => (drawing() ? sample.editor.choose("look") : go({})), { when: () => !listing() });
keys.add("Go", "q", "queue", () => go({}), { when: () => !listing() });
for (const [key, dx, dy] of [["ArrowLeft", -1, 0], ["ArrowRight", 1, 0], ["ArrowUp", 0, -1], ["ArrowDown", 0, 1]]) {
  keys.add("Go", key, "", () => queue.step(dx, dy), { when: listing });
}
keys.add("Go", "enter", "open the sample", () => {}, { when: () => false });
keys.add("Go", "/", "find a key", () => byId("find").focus(), { when: listing });
keys.add("Go", "?", "these keys", () => keys.showHelp());

keys.add("Show", "m", "mask: filled, outline, off", () => (listing() ? byId("masked").click() : sample.cycleMask()), { when: () => listing() || looking() });
for (const [key, name, text] of [["e", "edges", "edge label"], ["s", "saliency", "saliency map"], ["k", "keypoints", "keypoints"], ["f", "face", "face box"]]) {
  keys.add("Show", key, text, () => sample.toggle(name), { when: looking });
}
keys.add("Show", "p", "prediction: outline, difference, off", () => sample.cyclePrediction(), { when: () => looking() && sample.sample.predicted });
keys.add("Show", "o", "another reviewer's mask", () => sample.toggle("other"), { when: looking });
keys.add("Show", "h", "the bare photo, while held", () => sample.peek(true), { when: looking, up: () => sample.peek(false) });
keys.add("Show", ",", "", () => sample.setOpacity(sample.viewer.opacity - 0.1), { when: looking });
keys.add("Show", ".", "weaker, stronger", () => sample.setOpacity(sample.viewer.opacity + 0.1), { when: looking, shown: [",", "."] });
keys.add("Show", ["+", "="], "zoom in; or the wheel, or two fingers", () => sample.viewer.zoom(1.25), { when: looking, shown: ["+"] });
keys.add("Show", "-", "zoom out", () => sample.viewer.zoom(1 / 1.25), { when: looking });
keys.add("Show", "0", "the whole photo", () => sample.viewer.fit(), { when: looking });
for (const [key, dx, dy] of [["ArrowLeft", 60, 0], ["ArrowRight", -60, 0], ["ArrowUp", 0, 60], ["ArrowDown", 0, -60]]) {
  keys.add("Show", `shift+${key}`, "", () => sample.viewer.pan(dx, dy), { when: looking });
}
keys.add("Show", "shift+arrows", "move the photo; or drag it", () => {}, { when: () => false });

for (const [key, tool, text] of [["b", "brush", "brush"], ["x", "erase", "eraser"], ["g", "polygon", "polygon: click corners, enter closes it"], ["n", "superpixel", "superpixels: a brush that snaps to edges"], ["v", "look", "look: leave the tools"]]) {
  keys.add("Correct", key, text, () => sample.editor.choose(tool), { when: showing });
}
keys.add("Correct", "[", "", () => sample.editor.resize(-1), { when: looking });
keys.add("Correct", "]", "smaller, larger brush", () => sample.editor.resize(1), { when: looking, shown: ["[", "]"] });
keys.add("Correct", ["z", "ctrl+z"], "undo", () => sample.editor.undo(), { when: looking, shown: ["Z"] });
keys.add("Correct", ["y", "ctrl+y"], "redo", () => sample.editor.redo(), { when: looking, shown: ["Y"] });
keys.add("Correct", "t", "take the prediction", () => sample.takePrediction(), { when: looking });
keys.add("Correct", "d", "the stored mask again", () => sample.backToStored(), { when: looking });
keys.add("Correct", "alt", "held, or the right button: the tool takes away", () => {}, { when: () => false });
for (const [key, dx, dy] of [["ArrowLeft", -1, 0], ["ArrowRight", 1, 0], ["ArrowUp", 0, -1], ["ArrowDown", 0, 1]]) {
  keys.add("Correct", key, "", () => sample.editor.moveCursor(dx, dy), { when: drawing });
}
keys.add("Correct", " ", "without a pointer: arrows move a cross, space draws there", (event) => sample.editor.press(event.altKey), { when: drawing, shown: ["space"] });
keys.add("Correct", "Enter", "", (event) => sample.editor.closePolygon(event.altKey), { when: drawing });
keys.add("Correct", "Backspace", "", () => sample.editor.undo(), { when: () => drawing() && sample.editor.corners.length });

byId("help-button").addEventListener("click", () => keys.showHelp());
byId("previous").addEventListener("click", () => goTo(-1));
byId("next").addEventListener("click", () => goTo(1));
window.addEventListener("hashchange", route);
window.addEventListener("blur", () => sample.peek(false));
window.addEventListener("pagehide", () => sample.flush());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) sample.flush();
  else listen();
});

outbox.send();
await route();
listen.timer = setTimeout(listen, LISTEN_EVERY);
