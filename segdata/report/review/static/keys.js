// Single keys. Letters are left alone while someone types, and with ctrl, meta or alt.

import { byId, element } from "./dom.js";

const NAMES = { " ": "space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "esc", PageUp: "page up", PageDown: "page down" };

export class Keys {
  constructor() {
    this.table = []; // { group, keys, text, run, when, shown }
    document.addEventListener("keydown", (event) => this.pressed(event));
    document.addEventListener("keyup", (event) => this.released(event));
  }

  add(group, keys, text, run, { when = () => true, up = null, shown = null } = {}) {
    this.table.push({ group, keys: [keys].flat(), text, run, when, up, shown });
  }

  pressed(event) {
    const { target } = event;
    const typing = target.matches("textarea, input:not([type=checkbox]):not([type=range]), select");
    if (document.querySelector("dialog[open]")) return;
    if (typing) {
      if (event.key === "Escape" || (event.key === "Enter" && event.ctrlKey)) {
        event.preventDefault();
        target.blur();
        byId("stage").focus();
      }
      return;
    }
    const name = nameOf(event);
    if (!name) return;
    // Space and Enter belong to a button that has the focus, arrows to a slider.
    if ((name === " " || name === "Enter") && target.closest("button, a, summary, input")) return;
    if (name.startsWith("Arrow") && target.matches("input")) return;
    const entry = this.table.find(({ keys, when }) => keys.includes(name) && when());
    if (!entry) return;
    event.preventDefault();
    entry.run(event);
  }

  released(event) {
    const name = nameOf(event);
    for (const { keys, up } of this.table) if (up && keys.includes(name)) up();
  }

  showHelp() {
    const groups = new Map();
    for (const { group, keys, text, shown } of this.table) {
      if (!text) continue;
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push([shown ?? keys.map(labelOf), text]);
    }
    const body = byId("help-body");
    body.replaceChildren(
      ...[...groups].map(([group, rows]) =>
        element(
          "section",
          {},
          element("h3", {}, group),
          element("dl", {}, ...rows.flatMap(([keys, text]) => [
            element("dt", {}, ...keys.flatMap((key, i) => (i ? [" ", element("kbd", {}, key)] : [element("kbd", {}, key)]))),
            element("dd", {}, text),
          ])),
        ),
      ),
    );
    byId("help").showModal();
  }
}

function nameOf(event) {
  const { key } = event;
  if (event.metaKey || event.ctrlKey) {
    const letter = key.toLowerCase();
    if (letter === "z") return event.shiftKey ? "ctrl+y" : "ctrl+z";
    return letter === "y" ? "ctrl+y" : "";
  }
  if (key.startsWith("Arrow")) return event.shiftKey ? `shift+${key}` : key;
  if (event.altKey && key !== " ") return "";
  return key.length === 1 ? key.toLowerCase() : key;
}

function labelOf(key) {
  const bare = key.replace("shift+", "").replace("ctrl+", "");
  const name = NAMES[bare] ?? (bare.length === 1 ? bare.toUpperCase() : bare.toLowerCase());
  return key === bare ? name : `${key.slice(0, -bare.length)}${name}`;
}
