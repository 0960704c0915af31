// Tools that change the mask: brush, eraser, polygon, and a brush of superpixels. What is done can be undone.

import { Box, Superpixels } from "./mask.js";
import { getNumbers } from "./api.js";

const MOST_HISTORY = 128 * 1024 * 1024; // bytes
const GRAINS = [8, 12, 16, 24, 32, 48];
const LARGEST_RADIUS = 400;
const CLOSE_ENOUGH = 10; // screen pixels from the first corner of a polygon
const TAP_MILLISECONDS = 400;

export const TOOLS = ["look", "brush", "erase", "polygon", "superpixel"];

function isSame(one, other) {
  for (let i = 0; i < one.length; i += 1) if (one[i] !== other[i]) return false;
  return true;
}

export class Editor {
  // `onChange` is told after every stroke, undo and redo; `onState` whenever a tool, size or the history changes.
  constructor(viewer, { onChange, onState, onNotice }) {
    Object.assign(this, { viewer, onChange, onState, onNotice });
    this.tool = "look";
    this.radius = 8;
    this.grain = 2;
    this.pointers = new Map();
    this.reset(null);
    viewer.paintMarks = (context) => this.paintMarks(context);
    this.listen();
  }

  reset(sample) {
    this.sample = sample;
    this.history = [];
    this.done = 0; // how many of them stand
    this.stroke = null;
    this.corners = [];
    this.superpixels = new Map();
    this.hovered = -1;
    this.cursor = null;
    if (sample) {
      this.radius = Math.max(2, Math.round(Math.max(sample.width, sample.height) / 60));
      if (!sample.editable) this.tool = "look";
    }
    this.onState?.();
    if (this.tool === "superpixel") this.fetchSuperpixels();
  }

  get mask() {
    return this.viewer.mask;
  }

  get canUndo() {
    return this.done > 0;
  }

  get canRedo() {
    return this.done < this.history.length;
  }

  choose(tool) {
    if (tool !== "look" && this.sample && !this.sample.editable) {
      this.onNotice("this mask cannot be corrected here");
      return;
    }
    if (this.corners.length) this.corners = [];
    this.tool = tool;
    this.hovered = -1;
    this.viewer.stage.dataset.tool = tool;
    if (tool === "superpixel") this.fetchSuperpixels();
    this.viewer.redraw("marks");
    this.onState();
  }

  resize(step) {
    if (this.tool === "superpixel") {
      this.grain = Math.min(GRAINS.length - 1, Math.max(0, this.grain + step));
      this.fetchSuperpixels();
    } else {
      const radius = step > 0 ? Math.max(this.radius + 1, this.radius * 1.25) : Math.min(this.radius - 1, this.radius / 1.25);
      this.radius = Math.min(LARGEST_RADIUS, Math.max(0.5, Math.round(radius * 2) / 2));
    }
    this.viewer.redraw("marks");
    this.onState();
  }

  get size() {
    return this.tool === "superpixel" ? GRAINS[this.grain] : Math.round(this.radius * 2);
  }

  async fetchSuperpixels() {
    const { key, width, height, photo } = this.sample ?? {};
    const size = GRAINS[this.grain];
    if (!key || this.superpixels.has(size)) return;
    if (!photo) {
      this.onNotice("without a photo there are no superpixels");
      return;
    }
    this.superpixels.set(size, null);
    this.onNotice("cutting the photo into superpixels …");
    try {
      const numbers = await getNumbers("/superpixels", { key, size });
      if (this.sample?.key !== key) return;
      this.superpixels.set(size, new Superpixels(numbers, width, height));
      this.onNotice("");
    } catch (error) {
      this.superpixels.delete(size);
      this.onNotice(error.message);
    }
    this.viewer.redraw("marks");
  }

  get pieces() {
    return this.superpixels.get(GRAINS[this.grain]) ?? null;
  }

  // Strokes

  begin(x, y, inverted) {
    const value = (this.tool === "erase") !== inverted ? 0 : 1;
    this.stroke = { before: this.mask.pixels.slice(), box: Box.empty(), value, x, y, filled: new Set() };
    this.extend(x, y);
  }

  extend(x, y) {
    const { stroke } = this;
    let box = Box.empty();
    if (this.tool === "superpixel") {
      const { pieces } = this;
      const steps = Math.max(1, Math.ceil(Math.hypot(x - stroke.x, y - stroke.y)));
      for (let step = 0; pieces && step <= steps; step += 1) {
        const share = step / steps;
        const label = pieces.at(stroke.x + (x - stroke.x) * share, stroke.y + (y - stroke.y) * share);
        if (label < 0 || stroke.filled.has(label)) continue;
        stroke.filled.add(label);
        box = box.with(pieces.fill(this.mask, label, stroke.value));
      }
    } else {
      box = this.mask.line(stroke.x, stroke.y, x, y, this.radius, stroke.value);
    }
    Object.assign(stroke, { x, y, box: stroke.box.with(box) });
    if (!box.isEmpty) this.viewer.updateMask(box);
  }

  end() {
    const { stroke } = this;
    this.stroke = null;
    if (stroke) this.remember(stroke.box, stroke.before);
  }

  cancel() {
    const { stroke } = this;
    this.stroke = null;
    if (stroke && !stroke.box.isEmpty) {
      this.mask.pixels.set(stroke.before);
      this.viewer.updateMask(stroke.box);
    }
  }

  // Takes what was drawn inside a box into the history; `before` is the whole mask as it was.
  remember(box, before) {
    if (box.isEmpty) return;
    const { mask } = this;
    const old = { width: mask.width, height: mask.height, pixels: before };
    const change = { box, before: mask.cut.call(old, box), after: mask.cut(box) };
    if (isSame(change.before, change.after)) return;
    this.history.length = this.done;
    this.history.push(change);
    this.done += 1;
    let size = this.history.reduce((sum, each) => sum + 2 * each.before.length, 0);
    while (size > MOST_HISTORY && this.history.length > 1) {
      size -= 2 * this.history.shift().before.length;
      this.done -= 1;
    }
    this.onState();
    this.onChange();
  }

  replace(other) {
    const before = this.mask.pixels.slice();
    this.mask.pixels.set(other.pixels);
    this.viewer.updateMask(this.mask.box);
    this.remember(this.mask.box, before);
  }

  undo() {
    if (this.corners.length) {
      this.corners.pop();
      this.viewer.redraw("marks");
    } else if (this.canUndo) {
      this.done -= 1;
      this.restore(this.history[this.done].box, this.history[this.done].before);
    }
  }

  redo() {
    if (!this.canRedo) return;
    this.done += 1;
    this.restore(this.history[this.done - 1].box, this.history[this.done - 1].after);
  }

  restore(box, part) {
    this.mask.paste(box, part);
    this.viewer.updateMask(box);
    this.onState();
    this.onChange();
  }

  // Polygons

  addCorner(x, y, inverted) {
    const [first] = this.corners;
    if (first && this.corners.length > 2) {
      const near = Math.hypot(x - first[0], y - first[1]) * this.viewer.scale < CLOSE_ENOUGH;
      if (near) {
        this.closePolygon(inverted);
        return;
      }
    }
    this.corners.push([x, y]);
    this.viewer.redraw("marks");
  }

  closePolygon(inverted = false) {
    const { corners } = this;
    this.corners = [];
    if (corners.length > 2) {
      const before = this.mask.pixels.slice();
      const box = this.mask.polygon(corners, inverted ? 0 : 1);
      this.viewer.updateMask(box);
      this.remember(box, before);
    }
    this.viewer.redraw("marks");
  }

  // By keyboard: a cross that arrows move and that the space bar draws with.

  moveCursor(dx, dy) {
    const step = Math.max(1, this.radius / 2);
    const [x, y] = this.cursor ?? [this.sample.width / 2, this.sample.height / 2];
    this.cursor = [
      Math.min(this.sample.width, Math.max(0, x + dx * step)),
      Math.min(this.sample.height, Math.max(0, y + dy * step)),
    ];
    this.crossed = true;
    this.hover();
    this.viewer.redraw("marks");
  }

  press(inverted) {
    if (!this.cursor) return;
    if (this.tool === "polygon") {
      this.addCorner(...this.cursor, inverted);
    } else {
      this.begin(...this.cursor, inverted);
      this.end();
    }
  }

  hover() {
    if (this.tool === "superpixel" && this.cursor) this.hovered = this.pieces ? this.pieces.at(...this.cursor) : -1;
  }

  // Pointers

  listen() {
    const { stage } = this.viewer;
    stage.addEventListener("pointerdown", (event) => this.down(event));
    stage.addEventListener("pointermove", (event) => this.move(event));
    stage.addEventListener("pointerup", (event) => this.up(event));
    stage.addEventListener("pointercancel", (event) => {
      this.cancel();
      this.up(event);
    });
    stage.addEventListener("pointerleave", () => {
      if (this.pointers.size) return;
      this.cursor = this.crossed ? this.cursor : null;
      this.hovered = -1;
      this.viewer.redraw("marks");
    });
    stage.addEventListener("dblclick", (event) => {
      if (this.tool === "polygon" && this.corners.length > 2) this.closePolygon(event.altKey);
    });
    stage.addEventListener("contextmenu", (event) => event.preventDefault());
    stage.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const pixels = event.deltaMode ? event.deltaY * 30 : event.deltaY;
        const speed = event.ctrlKey ? 0.01 : 0.0015; // a pinch on a touch pad comes as small steps with ctrl
        this.viewer.zoom(Math.exp(-pixels * speed), ...this.onStage(event));
      },
      { passive: false },
    );
  }

  onStage(event) {
    const frame = this.viewer.stage.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  down(event) {
    if (!this.sample || this.viewer.isEmpty || event.target.closest("button")) return;
    this.viewer.stage.setPointerCapture(event.pointerId);
    this.viewer.stage.focus({ preventScroll: true });
    const place = this.onStage(event);
    this.pointers.set(event.pointerId, place);
    if (this.pointers.size > 1) {
      if (this.stroke && event.timeStamp - this.downAt < TAP_MILLISECONDS) this.cancel(); // two fingers, one a little late
      this.end();
      return;
    }
    this.downAt = event.timeStamp;
    const inverted = event.altKey || event.button === 2 || event.buttons === 32; // right button, or a pen's eraser
    this.dragging = this.tool === "look" || event.button === 1;
    if (this.dragging) return;
    this.crossed = false;
    this.cursor = this.viewer.toMask(...place);
    if (this.tool === "polygon") this.addCorner(...this.cursor, inverted);
    else this.begin(...this.cursor, inverted);
    this.viewer.redraw("marks");
  }

  move(event) {
    if (!this.sample || this.viewer.isEmpty) return;
    const before = this.pointers.get(event.pointerId);
    const place = this.onStage(event);
    if (before && this.pointers.size > 1) {
      this.pinch(event.pointerId, before, place);
      return;
    }
    if (before) this.pointers.set(event.pointerId, place);
    if (before && this.dragging) {
      this.viewer.pan(place[0] - before[0], place[1] - before[1]);
      return;
    }
    if (this.tool === "look") return;
    this.crossed = false;
    this.cursor = this.viewer.toMask(...place);
    this.hover();
    if (this.stroke) {
      const steps = event.getCoalescedEvents?.() ?? [];
      for (const step of steps.length ? steps : [event]) this.extend(...this.viewer.toMask(...this.onStage(step)));
    }
    this.viewer.redraw("marks");
  }

  pinch(id, before, place) {
    const [other] = [...this.pointers].filter(([each]) => each !== id).map(([, each]) => each);
    const distance = (a, b) => Math.max(1, Math.hypot(a[0] - b[0], a[1] - b[1]));
    const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
    const [from, to] = [middle(before, other), middle(place, other)];
    this.pointers.set(id, place);
    this.viewer.pan(to[0] - from[0], to[1] - from[1]);
    this.viewer.zoom(distance(place, other) / distance(before, other), ...to);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    this.end();
    if (!this.pointers.size) this.dragging = false;
  }

  // Marks

  paintMarks(context) {
    if (this.tool === "look" || !this.sample) return;
    const { viewer } = this;
    if (this.tool === "superpixel") this.paintPiece(context);
    if (this.corners.length) {
      viewer.twice(context, () => {
        this.corners.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
        if (this.cursor) context.lineTo(...this.cursor);
      });
      context.fillStyle = "#fff";
      for (const [x, y] of this.corners) context.fillRect(x - 3 / viewer.scale, y - 3 / viewer.scale, 6 / viewer.scale, 6 / viewer.scale);
    }
    if (!this.cursor) return;
    const [x, y] = this.cursor;
    const arm = 8 / viewer.scale;
    if (this.tool === "brush" || this.tool === "erase") {
      viewer.twice(context, () => context.arc(x, y, Math.max(this.radius, 0.5), 0, 2 * Math.PI));
    }
    if (this.crossed || this.tool === "polygon" || this.tool === "superpixel") {
      viewer.twice(context, () => {
        context.moveTo(x - arm, y);
        context.lineTo(x + arm, y);
        context.moveTo(x, y - arm);
        context.lineTo(x, y + arm);
      });
    }
  }

  // Shows the superpixel under the pointer.
  paintPiece(context) {
    const { pieces, hovered } = this;
    if (!pieces || hovered < 0) return;
    const [x0, y0, x1, y1] = pieces.boxes.get(hovered);
    context.fillStyle = "rgba(255, 255, 255, .45)";
    for (let y = y0; y < y1; y += 1) {
      for (let x = x0; x < x1; x += 1) {
        if (pieces.labels[y * pieces.width + x] === hovered) context.fillRect(x / pieces.sx, y / pieces.sy, 1 / pieces.sx, 1 / pieces.sy);
      }
    }
  }
}
