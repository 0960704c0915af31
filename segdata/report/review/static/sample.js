// One sample: its photo, its mask and what is decided about it.

import { address, get, getNumbers, pictureOf } from "./api.js";
import { byId, element, keyButton, NAMES, percent, shortNumber } from "./dom.js";
import { Editor } from "./editor.js";
import { Mask } from "./mask.js";
import { drawSmall, Viewer } from "./viewer.js";

const SAVE_AFTER = 400; // milliseconds without a stroke
const VERDICTS = [["accept", "Accept", "A"], ["reject", "Reject", "R"], ["needs-work", "Needs work", "W"]];
const STYLES = ["fill", "outline", "off"];
const COMPARISONS = ["off", "outline", "difference"];
const TOOLS = [["look", "Look", "V"], ["brush", "Brush", "B"], ["erase", "Eraser", "X"], ["polygon", "Polygon", "G"], ["superpixel", "Superpixels", "N"]];
const LAYERS = [["edges", "Edges", "E"], ["saliency", "Saliency", "S"], ["keypoints", "Keypoints", "K"], ["face", "Face", "F"]];

export class SampleScreen {
  constructor({ outbox, goTo, longestComment }) {
    Object.assign(this, { outbox, goTo });
    this.viewer = new Viewer(byId("stage"), [byId("layer-photo"), byId("layer-mask"), byId("layer-marks")]);
    this.editor = new Editor(this.viewer, {
      onChange: () => this.drawn(),
      onState: () => this.showTools(),
      onNotice: (text) => this.notice(text),
    });
    this.key = null;
    byId("comment").maxLength = longestComment;
    byId("comment").addEventListener("change", () => this.commented());
    this.makeButtons();
  }

  makeButtons() {
    this.verdictButtons = VERDICTS.map(([name, label, key]) => {
      const button = keyButton(label, key, () => this.decide(name), { className: `verdict ${name}`, "aria-pressed": "false" });
      button.dataset.verdict = name;
      return button;
    });
    byId("verdicts").append(...this.verdictButtons);
    this.toolButtons = TOOLS.map(([name, label, key]) => {
      const button = keyButton(label, key, () => this.editor.choose(name), { "aria-pressed": "false" });
      button.dataset.tool = name;
      return button;
    });
    this.size = element("output", { className: "quiet", "aria-label": "brush size" });
    this.undoButton = keyButton("Undo", "Z", () => this.editor.undo());
    this.redoButton = keyButton("Redo", "Y", () => this.editor.redo());
    this.storedButton = keyButton("Stored", "D", () => this.backToStored(), { title: "the stored mask again" });
    this.predictedButton = keyButton("Take", "T", () => this.takePrediction(), { title: "put the predicted mask in the place of this one", "aria-label": "take the prediction" });
    byId("tools").append(
      ...this.toolButtons,
      keyButton("−", "[", () => this.editor.resize(-1), { "aria-label": "smaller brush" }),
      this.size,
      keyButton("+", "]", () => this.editor.resize(1), { "aria-label": "larger brush" }),
      this.undoButton, this.redoButton, this.storedButton,
    );
    this.maskButton = keyButton("Mask", "M", () => this.cycleMask(), { className: "cycle mask" });
    this.predButton = keyButton("Prediction", "P", () => this.cyclePrediction(), { className: "cycle prediction" });
    this.otherButton = keyButton("Other", "O", () => this.toggle("other"), { "aria-label": "another reviewer's mask" });
    this.layerButtons = LAYERS.map(([name, label, key]) => {
      const button = keyButton(label, key, () => this.toggle(name), { "aria-pressed": "false" });
      button.dataset.layer = name;
      return button;
    });
    this.opacity = element("input", { type: "range", min: 0, max: 100, step: 10, value: 40, "aria-label": "opacity of mask and labels" });
    this.opacity.addEventListener("input", () => this.setOpacity(Number(this.opacity.value) / 100));
    byId("layers").append(
      this.maskButton, this.predButton, this.predictedButton, this.otherButton, ...this.layerButtons, this.opacity,
    );
    byId("zoom").append(
      keyButton("−", "", () => this.viewer.zoom(1 / 1.25), { "aria-label": "zoom out", "aria-keyshortcuts": "-" }),
      keyButton("Fit", "0", () => this.viewer.fit()),
      keyButton("+", "", () => this.viewer.zoom(1.25), { "aria-label": "zoom in", "aria-keyshortcuts": "+" }),
    );
    byId("facts").open = matchMedia("(min-width: 721px)").matches;
  }

  // Loading

  async open(key) {
    this.leave();
    this.key = key;
    const opening = (this.opening = {});
    const isLate = () => opening !== this.opening;
    byId("title").textContent = key;
    this.notice("");
    let sample;
    try {
      sample = await get("/api/sample", { key });
    } catch (error) {
      if (!isLate()) this.showNothing(error.message);
      return;
    }
    if (isLate()) return;
    const waiting = this.outbox.of(key);
    const corrected = sample.mine?.corrected ?? false;
    const [photo, numbers, stored] = await Promise.all([
      sample.photo ? pictureOf(address("/photo", { key })).catch(() => null) : null,
      this.maskNumbers(key, corrected ? "mine" : "stored"),
      corrected ? this.maskNumbers(key, "stored") : null,
    ]);
    if (isLate()) return;
    this.sample = sample;
    this.stored = Mask.fromRuns(stored ?? numbers);
    let mask = Mask.fromRuns(numbers);
    if (mask.width !== this.stored.width || mask.height !== this.stored.height) mask = this.stored.copy();
    this.state = {
      version: sample.mine?.version ?? 0,
      verdict: sample.mine?.verdict ?? null,
      comment: sample.mine?.comment ?? "",
      corrected,
      drawnOn: corrected ? sample.mine.drawn_on : sample.drawn_on,
    };
    if (waiting) {
      Object.assign(this.state, { version: waiting.version, verdict: waiting.verdict, comment: waiting.comment });
      if (Array.isArray(waiting.mask)) {
        mask = Mask.fromRuns([mask.height, mask.width, ...waiting.mask]);
        Object.assign(this.state, { corrected: true, drawnOn: waiting.drawn_on });
      } else if (waiting.mask === null) {
        mask = this.stored.copy();
        this.state.corrected = false;
      }
    }
    this.dirty = false;
    this.photo = photo;
    this.viewer.show(sample, photo, mask);
    this.editor.reset(sample);
    byId("comment").value = this.state.comment;
    this.showAll();
    this.loadShown();
  }

  // Masks that cannot be read are empty, of the size that the sample has.
  async maskNumbers(key, of) {
    try {
      return await getNumbers("/mask", { key, of });
    } catch (error) {
      this.notice(error.message);
      return new Uint32Array([this.sample?.height ?? 0, this.sample?.width ?? 0]);
    }
  }

  showNothing(message) {
    this.sample = null;
    this.viewer.mask = null;
    for (const id of ["layer-photo", "layer-mask", "layer-marks"]) byId(id).width = 1;
    byId("problems").replaceChildren(element("p", {}, message));
    this.notice(message);
  }

  // Gets what is switched on and not here yet.
  async loadShown() {
    const { key, sample, viewer } = this;
    const stillHere = () => this.key === key && this.sample === sample;
    for (const name of ["edges", "saliency"]) {
      if (!viewer.shown[name] || !sample.layers.includes(name) || viewer.pictures[name]) continue;
      pictureOf(address("/layer", { key, name })).then(
        (picture) => stillHere() && viewer.setPicture(name, picture),
        () => stillHere() && this.notice(`the ${name} of this sample cannot be shown`),
      );
    }
    if (viewer.compare !== "off" && sample.predicted && !viewer.tints.pred) {
      await this.loadCompared("pred", { key, of: "pred" }, stillHere);
    }
    const other = this.otherWithMask();
    if (viewer.shown.other && other && !viewer.tints.other) {
      await this.loadCompared("other", { key, of: "other", reviewer: other.reviewer }, stillHere);
    }
  }

  async loadCompared(name, values, stillHere) {
    try {
      const mask = Mask.fromRuns(await getNumbers("/mask", values));
      if (!stillHere()) return null;
      if (mask.width !== this.viewer.mask.width || mask.height !== this.viewer.mask.height) {
        this.notice(`that mask is ${mask.width} × ${mask.height} pixels, this one ${this.viewer.mask.width} × ${this.viewer.mask.height}`);
        return null;
      }
      this.viewer.setMask(name, mask);
      return mask;
    } catch (error) {
      if (stillHere()) this.notice(error.message);
      return null;
    }
  }

  otherWithMask() {
    return (this.sample?.others ?? []).find(({ corrected }) => corrected);
  }

  // Takes in what another window saved, where nothing of this one would be lost.
  async follow() {
    const { key } = this;
    if (!this.sample || this.outbox.of(key) || this.dirty || this.editor.stroke || document.activeElement === byId("comment")) return;
    const sample = await get("/api/sample", { key });
    if (key !== this.key || this.outbox.of(key) || this.dirty) return;
    if ((sample.mine?.version ?? 0) !== this.state.version) {
      await this.open(key);
      this.notice("changed in another window");
    } else {
      this.sample.others = sample.others;
      this.showAll();
    }
  }

  leave() {
    if (this.sample && byId("comment").value !== this.state.comment) this.commented();
    this.flush();
    clearTimeout(this.timer);
    this.editor.corners = [];
    this.editor.reset(null);
    this.sample = null;
    this.key = null;
    this.opening = null;
  }

  // Deciding and saving

  drawn() {
    this.dirty = true;
    this.state.corrected = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), SAVE_AFTER);
  }

  flush() {
    if (!this.dirty || !this.sample) return;
    this.save();
  }

  save() {
    const { state, sample } = this;
    clearTimeout(this.timer);
    let mask = "keep";
    if (this.dirty || sample.stale) {
      state.corrected = !this.viewer.mask.equals(this.stored);
      mask = state.corrected ? this.viewer.mask.runs() : null;
      if (sample.stale) {
        // Someone has looked at both again.
        state.drawnOn = sample.drawn_on;
        sample.stale = false;
        this.showProblems();
      }
      this.dirty = false;
    }
    this.outbox.put(this.key, {
      version: state.version, verdict: state.verdict, comment: state.comment, mask, drawn_on: state.drawnOn,
    });
    this.showState();
  }

  saved(key, said) {
    if (key !== this.key || !this.sample) return;
    this.state.version = said.version;
  }

  // Other reviewers' decisions are shown once this one is made.
  async showOthers() {
    const { key, sample } = this;
    if (!sample || sample.others || !this.state.verdict) return;
    const fresh = await get("/api/sample", { key });
    if (this.sample !== sample) return;
    sample.others = fresh.others;
    this.showAll();
  }

  commented() {
    if (!this.sample) return;
    const comment = byId("comment").value.trim();
    if (comment === this.state.comment) return;
    this.state.comment = comment;
    this.save();
  }

  async decide(verdict) {
    if (!this.sample) return;
    this.editor.end();
    if (this.editor.corners.length) this.editor.closePolygon();
    this.state.comment = byId("comment").value.trim();
    this.state.verdict = verdict;
    this.save();
    if (verdict) await this.goTo(1);
    else this.notice("undecided again");
  }

  backToStored() {
    if (this.sample && !this.viewer.mask.equals(this.stored)) {
      this.editor.replace(this.stored);
      this.state.drawnOn = this.sample.drawn_on;
      this.notice("the stored mask again; Z brings the correction back");
    }
  }

  async takePrediction() {
    const { key, sample } = this;
    if (!sample?.predicted || !sample.editable) return;
    const mask = this.viewer.tints.pred?.mask ?? (await this.loadCompared("pred", { key, of: "pred" }, () => this.sample === sample));
    if (mask) this.editor.replace(mask);
  }

  async takeOther(said) {
    const { key, sample } = this;
    if (said.corrected) {
      const mask = Mask.fromRuns(await getNumbers("/mask", { key, of: "other", reviewer: said.reviewer }));
      if (this.sample !== sample) return;
      this.editor.replace(mask);
      this.state.drawnOn = said.drawn_on;
    } else {
      this.backToStored();
    }
    this.state.verdict = said.verdict;
    this.save();
    this.showAll();
    this.notice(`as ${said.reviewer} decided`);
  }

  // Showing

  showAll() {
    const { sample, viewer } = this;
    const { shown } = viewer;
    this.predButton.hidden = !sample.predicted;
    this.predictedButton.hidden = !sample.predicted || !sample.editable;
    this.otherButton.hidden = !this.otherWithMask();
    for (const button of this.layerButtons) {
      const name = button.dataset.layer;
      const there = { keypoints: sample.keypoints.length, face: sample.faces.length }[name] ?? sample.layers.includes(name);
      button.disabled = !there;
      button.title = there ? "" : "this sample has none";
      button.setAttribute("aria-pressed", String(Boolean(there && shown[name])));
    }
    this.maskButton.firstChild.textContent = `Mask: ${viewer.style}`;
    this.maskButton.setAttribute("aria-pressed", String(viewer.style !== "off"));
    this.predButton.firstChild.textContent = `Prediction: ${viewer.compare}`;
    this.predButton.setAttribute("aria-pressed", String(viewer.compare !== "off"));
    this.otherButton.setAttribute("aria-pressed", String(shown.other));
    this.showProblems();
    byId("facts").querySelector("dl").replaceChildren(
      ...Object.entries(sample.facts).flatMap(([name, value]) => [
        element("dt", {}, name), element("dd", {}, typeof value === "number" ? shortNumber(value) : String(value)),
      ]),
    );
    this.showOtherDecisions();
    this.showState();
    this.showTools();
  }

  showProblems() {
    const problems = [...this.sample.problems];
    if (this.sample.stale) problems.push("The mask file has changed since this correction was drawn. Look again, and draw or decide once more.");
    byId("problems").replaceChildren(...problems.map((text) => element("p", {}, text)));
  }

  showState() {
    const { state, sample } = this;
    for (const button of this.verdictButtons) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === state.verdict));
    }
    const words = [
      `Photo ${this.key}, ${sample.width} by ${sample.height} pixels.`,
      `The mask covers ${percent(this.viewer.mask.area / Math.max(1, sample.width * sample.height))} of it${state.corrected ? ", and is corrected" : ""}.`,
      sample.facts.persons === undefined ? "" : `Persons: ${sample.facts.persons}.`,
      state.verdict ? `Decided: ${NAMES[state.verdict]}.` : "Not decided yet.",
    ];
    byId("description").textContent = words.filter(Boolean).join(" ");
    byId("stage").setAttribute("aria-label", words[0]);
    byId("sample").dataset.corrected = state.corrected;
  }

  showTools() {
    const { editor } = this;
    if (!editor || !this.toolButtons) return;
    for (const button of this.toolButtons) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === editor.tool));
      button.disabled = Boolean(editor.sample) && !editor.sample.editable && button.dataset.tool !== "look";
    }
    this.undoButton.disabled = !editor.canUndo && !editor.corners.length;
    this.redoButton.disabled = !editor.canRedo;
    this.storedButton.disabled = !(this.sample && this.state?.corrected);
    this.size.textContent = `${editor.size} px`;
  }

  showOtherDecisions() {
    const { others } = this.sample;
    const list = (others ?? []).map((said) => {
      const differs = said.verdict && this.state.verdict && (said.verdict !== this.state.verdict || (said.verdict === "accept" && (said.corrected || this.state.corrected)));
      const take = element("button", { type: "button" }, `Decide as ${said.reviewer}`);
      take.addEventListener("click", () => this.takeOther(said));
      return element(
        "div",
        { className: `said${differs ? " differs" : ""}` },
        element("strong", {}, said.reviewer), ": ", NAMES[said.verdict] ?? "undecided",
        said.corrected ? ", with a corrected mask" : "",
        element("p", { className: "words" }, said.comment),
        ...(said.verdict ? [take] : []),
      );
    });
    byId("others").replaceChildren(...(list.length ? [element("h3", {}, "Other reviewers"), ...list] : []));
  }

  notice(text) {
    clearTimeout(this.noticeTimer);
    byId("notice").textContent = text;
    if (text && !text.endsWith("…")) this.noticeTimer = setTimeout(() => this.notice(""), 6000);
  }

  cycleMask() {
    this.viewer.style = STYLES[(STYLES.indexOf(this.viewer.style) + 1) % STYLES.length];
    this.changedView();
  }

  cyclePrediction() {
    this.viewer.compare = COMPARISONS[(COMPARISONS.indexOf(this.viewer.compare) + 1) % COMPARISONS.length];
    if (this.viewer.compare === "difference") this.notice("red: in the mask alone; blue: in the prediction alone");
    this.changedView();
  }

  toggle(name) {
    this.viewer.shown[name] = !this.viewer.shown[name];
    this.changedView();
  }

  setOpacity(value) {
    this.viewer.opacity = Math.min(1, Math.max(0, value));
    this.opacity.value = Math.round(100 * this.viewer.opacity);
    this.viewer.redraw("photo", "mask");
  }

  peek(on) {
    if (this.viewer.peeking === on) return;
    this.viewer.peeking = on;
    this.viewer.redraw("photo", "mask", "marks");
  }

  changedView() {
    if (!this.sample) return;
    this.showAll();
    this.loadShown();
    this.viewer.redraw("photo", "mask", "marks");
  }

  // Shows both sides of a conflict and asks which is to stay.
  async settle(key, saving, theirs) {
    const dialog = byId("conflict");
    const photo = theirs.photo ? await pictureOf(address("/photo", { key })).catch(() => null) : null;
    const saved = Mask.fromRuns(await getNumbers("/mask", { key, of: theirs.mine?.corrected ? "mine" : "stored" }));
    const mine = Array.isArray(saving.mask)
      ? Mask.fromRuns([saved.height, saved.width, ...saving.mask])
      : saving.mask === null ? Mask.fromRuns(await getNumbers("/mask", { key, of: "stored" })) : saved;
    const side = (title, said, mask) => {
      const canvas = element("canvas", { width: 300, height: 220, role: "img", "aria-label": `${title}: mask covers ${percent(mask.area / mask.pixels.length)}` });
      drawSmall(canvas, photo, mask);
      return element(
        "div", {}, element("h3", {}, title), canvas,
        element("p", {}, NAMES[said?.verdict] ?? "undecided", said?.time ? element("span", { className: "quiet" }, ` ${said.time.replace("T", " ").replace("Z", " UTC")}`) : ""),
        element("p", { className: "words" }, said?.comment ?? ""),
      );
    };
    byId("conflict-body").replaceChildren(
      element("p", { className: "words whole" }, key),
      side("Saved", theirs.mine, saved),
      side("Yours", saving, mine),
      element("p", { className: "quiet whole" }, `The two masks have an IoU of ${percent(saved.iou(mine))}.`),
    );
    dialog.showModal();
    const choice = await new Promise((resolve) => {
      byId("keep-theirs").onclick = () => resolve("theirs");
      byId("keep-mine").onclick = () => resolve("mine");
      dialog.oncancel = (event) => event.preventDefault();
    });
    dialog.close();
    if (choice === "mine") {
      this.outbox.resume(key, theirs.mine?.version ?? 0);
    } else {
      this.outbox.forget(key);
      if (this.key === key) {
        this.dirty = false;
        await this.open(key);
      }
    }
  }
}
