// Makes elements; what is given as text stays text, whatever is in it.

export const byId = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [property, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (property.startsWith("aria-") || property === "role") made.setAttribute(property, value);
    else made[property] = value;
  }
  made.append(...children);
  return made;
}

// A button with its key on it.
export function keyButton(label, key, run, properties = {}) {
  const button = element("button", { type: "button", ...properties }, element("span", {}, label));
  if (key) {
    button.append(" ", element("kbd", {}, key));
    button.setAttribute("aria-keyshortcuts", key);
  }
  button.addEventListener("click", run);
  return button;
}

export function percent(share) {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}

export function shortNumber(value) {
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(1) : value.toPrecision(3);
}

export const NAMES = { accept: "accepted", reject: "rejected", "needs-work": "needs work" };
