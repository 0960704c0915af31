// The queue: pages of thumbnails, in the order and with the filter that was chosen.

import { address, get } from "./api.js";
import { byId, element, NAMES, shortNumber } from "./dom.js";

const PAGE = 60;
const SHOWN = {
  all: "all", undecided: "undecided", accept: "accepted", reject: "rejected", "needs-work": "needs work",
  corrected: "corrected masks", "second-look": "decided by others only", disagree: "reviewers disagree",
};
const EMPTY = {
  undecided: "Nothing is left to decide. Choose “all” above to look at what was decided.",
  disagree: "No two reviewers disagree.",
  "second-look": "There is nothing that others have decided and you have not.",
};

export class QueueScreen {
  constructor(site, { view, onView, open }) {
    Object.assign(this, { site, view, onView, open });
    byId("by").append(...site.columns.map(({ name }) => element("option", { value: name }, name === "file" ? "as in the file" : name)));
    byId("show").append(...site.filters.map((name) => element("option", { value: name })));
    for (const id of ["show", "first", "find"]) byId(id).addEventListener("change", () => this.changed());
    byId("find").addEventListener("search", () => this.changed());
    byId("by").addEventListener("change", () => {
      const column = site.columns.find(({ name }) => name === byId("by").value);
      byId("first").value = column.first;
      this.changed();
    });
    byId("masked").addEventListener("change", () => this.render());
    byId("controls").addEventListener("submit", (event) => {
      event.preventDefault();
      this.changed();
    });
    byId("page-back").addEventListener("click", () => this.turn(-1));
    byId("page-on").addEventListener("click", () => this.turn(1));
    this.showCounts(site.counts);
  }

  showCounts(counts) {
    for (const option of byId("show").options) {
      option.textContent = `${SHOWN[option.value]} (${(counts[option.value] ?? 0).toLocaleString("en")})`;
    }
    const decided = counts.all - counts.undecided;
    byId("progress").textContent = `${decided.toLocaleString("en")} of ${counts.all.toLocaleString("en")} decided`;
  }

  changed() {
    Object.assign(this.view, {
      show: byId("show").value, by: byId("by").value, first: byId("first").value, find: byId("find").value.trim(), offset: 0,
    });
    this.onView();
  }

  turn(step) {
    const offset = this.view.offset + step * PAGE;
    if (!this.page || offset < 0 || offset >= this.page.total) return;
    this.view.offset = offset;
    this.onView();
    byId("main").scrollTop = 0;
    window.scrollTo(0, 0);
  }

  async load() {
    const { show, by, first, find, offset } = this.view;
    Object.assign(byId("show"), { value: show });
    Object.assign(byId("by"), { value: by });
    Object.assign(byId("first"), { value: first });
    Object.assign(byId("find"), { value: find });
    const asked = (this.asked = {});
    const page = await get("/api/queue", { show, by, first, find, offset, limit: PAGE });
    if (asked !== this.asked) return;
    this.page = page;
    this.view.offset = page.offset;
    this.render();
  }

  showFault(message) {
    byId("grid").replaceChildren();
    byId("empty").hidden = false;
    byId("empty").textContent = `The queue cannot be shown at the moment: ${message}`;
    byId("pages").hidden = true;
  }

  // What is still under way for this screen would only keep the sample waiting.
  leave() {
    this.asked = null;
    for (const image of byId("grid").querySelectorAll("img")) if (!image.complete) image.removeAttribute("src");
  }

  render() {
    if (!this.page) return;
    const { items, offset, total } = this.page;
    const masked = byId("masked").checked ? "1" : "0";
    byId("grid").replaceChildren(...items.map((item, i) => this.card(item, i, masked)));
    byId("empty").hidden = items.length > 0;
    byId("empty").textContent = this.view.find ? "No key holds this text." : EMPTY[this.view.show] ?? "Nothing here.";
    byId("pages").hidden = total <= PAGE;
    byId("page-text").textContent = `${(offset + 1).toLocaleString("en")} to ${(offset + items.length).toLocaleString("en")} of ${total.toLocaleString("en")}`;
    byId("page-back").disabled = offset === 0;
    byId("page-on").disabled = offset + items.length >= total;
    byId("hint").hidden = this.view.by !== "file" || this.site.predictions;
  }

  card(item, number, masked) {
    const verdict = item.verdict ? NAMES[item.verdict] : "undecided";
    const value = item.value === null || this.view.by === "file" ? "" : `${this.view.by} ${shortNumber(item.value)}`;
    const image = element("img", {
      src: address("/thumb", { key: item.key, mask: masked }),
      alt: "", loading: "lazy", decoding: "async", width: 200, height: 150,
    });
    image.addEventListener("error", () => image.replaceWith(element("span", { className: "missing" }, "no photo")));
    const words = [item.key, verdict, item.corrected ? "mask corrected" : "", value].filter(Boolean).join(", ");
    const link = element(
      "a",
      { href: this.open(item.key), className: "card", "aria-label": words },
      element("span", { className: "frame" }, image),
      element("span", { className: "name" }, item.key),
      element(
        "span",
        { className: "line" },
        element("span", { className: `state ${item.verdict ?? "undecided"}` }, item.corrected ? `${verdict} · corrected` : verdict),
        element("span", { className: "quiet" }, value),
      ),
    );
    link.dataset.number = number;
    return element("li", {}, link);
  }

  // Moves the focus among the cards.
  step(dx, dy) {
    const cards = [...byId("grid").querySelectorAll(".card")];
    if (!cards.length) return;
    const here = cards.indexOf(document.activeElement);
    const columns = cards.filter((card) => card.offsetTop === cards[0].offsetTop).length;
    const next = here < 0 ? 0 : Math.min(cards.length - 1, Math.max(0, here + dx + dy * columns));
    cards[next].focus();
    cards[next].scrollIntoView({ block: "nearest" });
  }
}
