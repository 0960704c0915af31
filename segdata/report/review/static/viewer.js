// Shows a sample on three canvases, one above the other: the photo with its labels, masks, and marks such as the
// brush. Only what has changed is drawn again; x and y are pixels of the mask, with the origin at its upper left corner.

import { Box } from "./mask.js";

const LARGEST_SCALE = 40;
const CRISP_FROM = 2; // screen pixels a mask pixel
export const COLOURS = { mine: [255, 64, 129], pred: [41, 121, 255], other: [0, 200, 83] };
const LIMBS = [
  [0, 1], [0, 2], [1, 3], [2, 4], [5, 6], [5, 7], [7, 9], [6, 8], [8, 10],
  [5, 11], [6, 12], [11, 12], [11, 13], [13, 15], [12, 14], [14, 16],
];

// One mask in one colour, as a picture that is kept up to date where the mask changes.
class Tint {
  constructor(mask, colour) {
    this.mask = mask;
    this.ink = new Uint32Array(new Uint8Array([...colour, 255]).buffer)[0];
    this.canvas = new OffscreenCanvas(mask.width, mask.height);
    this.context = this.canvas.getContext("2d");
    this.style = "";
    this.reach = 0;
  }

  // `style` is fill, outline, or difference to `other`; an outline is `reach` pixels wide.
  restyle(style, reach, other, otherInk) {
    if (this.style === style && (style !== "outline" || this.reach === reach) && this.other === other) return;
    Object.assign(this, { style, reach, other, otherInk });
    this.update(this.mask.box);
  }

  update(box) {
    const grown = this.style === "outline" ? new Box(box.x0 - this.reach, box.y0 - this.reach, box.x1 + this.reach, box.y1 + this.reach) : box;
    const area = grown.within(this.mask.width, this.mask.height);
    if (area.isEmpty) return area;
    const image = new ImageData(area.width, area.height);
    const out = new Uint32Array(image.data.buffer);
    const { width, height, pixels } = this.mask;
    const { ink, reach, style } = this;
    for (let y = area.y0, o = 0; y < area.y1; y += 1) {
      let i = y * width + area.x0;
      for (let x = area.x0; x < area.x1; x += 1, i += 1, o += 1) {
        if (style === "difference") {
          const there = this.other.pixels[i];
          if (pixels[i] !== there) out[o] = there ? this.otherInk : ink;
        } else if (pixels[i]) {
          if (
            style === "fill" ||
            x < reach || !pixels[i - reach] || x + reach >= width || !pixels[i + reach] ||
            y < reach || !pixels[i - reach * width] || y + reach >= height || !pixels[i + reach * width]
          ) {
            out[o] = ink;
          }
        }
      }
    }
    this.context.putImageData(image, area.x0, area.y0);
    return area;
  }
}

export class Viewer {
  constructor(stage, canvases) {
    this.stage = stage;
    [this.photoCanvas, this.maskCanvas, this.marksCanvas] = canvases;
    this.contexts = canvases.map((canvas) => canvas.getContext("2d"));
    this.scale = 1;
    this.x = 0; // of the mask's origin on the stage
    this.y = 0;
    this.opacity = 0.4;
    this.style = "fill";
    this.compare = "off"; // how the prediction is shown
    this.peeking = false;
    this.shown = { edges: false, saliency: false, keypoints: false, face: false, other: false };
    this.pictures = {};
    this.tints = {};
    this.paintMarks = () => {};
    this.pending = new Set();
    new ResizeObserver(() => this.resize()).observe(stage);
  }

  show(sample, photo, mask) {
    Object.assign(this, { sample, photo, mask });
    this.pictures = {};
    this.tints = { mine: new Tint(mask, COLOURS.mine) };
    this.resize();
    this.fit();
  }

  get isEmpty() {
    return !this.mask;
  }

  setPicture(name, picture) {
    this.pictures[name] = picture;
    this.redraw("photo");
  }

  setMask(name, mask) {
    if (mask) this.tints[name] = new Tint(mask, COLOURS[name]);
    else delete this.tints[name];
    this.redraw("mask");
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.stage;
    this.ratio = ratio;
    for (const canvas of [this.photoCanvas, this.maskCanvas, this.marksCanvas]) {
      const width = Math.max(1, Math.round(clientWidth * ratio));
      const height = Math.max(1, Math.round(clientHeight * ratio));
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    }
    if (this.fitted) this.fit();
    else this.redraw("photo", "mask", "marks");
  }

  fit() {
    if (this.isEmpty) return;
    const { clientWidth, clientHeight } = this.stage;
    this.scale = Math.min(clientWidth / this.mask.width, clientHeight / this.mask.height) || 1;
    this.x = (clientWidth - this.mask.width * this.scale) / 2;
    this.y = (clientHeight - this.mask.height * this.scale) / 2;
    this.smallest = Math.min(this.scale, 1) / 2;
    this.fitted = true;
    this.redraw("photo", "mask", "marks");
  }

  zoom(factor, atX = this.stage.clientWidth / 2, atY = this.stage.clientHeight / 2) {
    const scale = Math.min(LARGEST_SCALE, Math.max(this.smallest ?? 0.05, this.scale * factor));
    const change = scale / this.scale;
    this.x = atX - (atX - this.x) * change;
    this.y = atY - (atY - this.y) * change;
    this.scale = scale;
    this.pan(0, 0);
  }

  pan(dx, dy) {
    if (this.isEmpty) return;
    const { clientWidth, clientHeight } = this.stage;
    const margin = 60; // of the photo, always on the stage
    this.x = Math.min(clientWidth - margin, Math.max(margin - this.mask.width * this.scale, this.x + dx));
    this.y = Math.min(clientHeight - margin, Math.max(margin - this.mask.height * this.scale, this.y + dy));
    this.fitted = false;
    this.redraw("photo", "mask", "marks");
  }

  // The place in the mask of a point on the stage.
  toMask(x, y) {
    return [(x - this.x) / this.scale, (y - this.y) / this.scale];
  }

  toStage(x, y) {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }

  redraw(...layers) {
    if (!this.pending.size) requestAnimationFrame(() => this.drawPending());
    for (const layer of layers) this.pending.add(layer);
  }

  drawPending() {
    const layers = [...this.pending];
    this.pending.clear();
    if (this.isEmpty) return;
    if (layers.includes("photo")) this.drawPhoto();
    if (layers.includes("mask")) this.drawMasks();
    if (layers.includes("marks")) this.drawMarks();
  }

  begin(number) {
    const context = this.contexts[number];
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.stage.clientWidth, this.stage.clientHeight);
    context.translate(this.x, this.y);
    context.scale(this.scale, this.scale);
    return context;
  }

  drawPhoto() {
    const context = this.begin(0);
    const { width, height } = this.mask;
    const smooth = this.scale * this.ratio < 4;
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = "medium";
    if (this.photo) context.drawImage(this.photo, 0, 0, width, height);
    if (this.peeking) return;
    context.globalAlpha = Math.min(1, this.opacity + 0.3);
    for (const name of ["saliency", "edges"]) {
      const picture = this.pictures[name];
      if (this.shown[name] && picture) context.drawImage(picture, 0, 0, width, height);
    }
    context.globalAlpha = 1;
  }

  styleTints() {
    const reach = Math.max(1, Math.round(1.6 / (this.scale * this.ratio)));
    const { mine, pred, other } = this.tints;
    const comparing = this.compare === "difference" && pred;
    if (comparing) mine.restyle("difference", reach, pred.mask, pred.ink);
    else mine.restyle(this.style === "off" ? mine.style || "fill" : this.style, reach);
    pred?.restyle("outline", reach);
    other?.restyle("outline", reach);
    const list = [];
    if (comparing || this.style !== "off") {
      list.push([mine, comparing ? Math.min(1, this.opacity + 0.3) : this.style === "outline" ? 1 : this.opacity]);
    }
    if (pred && this.compare === "outline") list.push([pred, 1]);
    if (other && this.shown.other) list.push([other, 1]);
    return list;
  }

  drawMasks() {
    const context = this.begin(1);
    const list = this.styleTints();
    if (this.peeking) return;
    context.imageSmoothingEnabled = this.scale * this.ratio < CRISP_FROM;
    for (const [tint, alpha] of list) {
      context.globalAlpha = alpha;
      context.drawImage(tint.canvas, 0, 0);
    }
    context.globalAlpha = 1;
  }

  // The mask has changed inside a box: draws that at once, and nothing else.
  updateMask(box) {
    const touched = this.tints.mine.update(box);
    if (touched.isEmpty || this.peeking) return;
    const context = this.contexts[1];
    const edge = 2;
    const area = new Box(touched.x0 - edge, touched.y0 - edge, touched.x1 + edge, touched.y1 + edge).within(this.mask.width, this.mask.height);
    context.save();
    context.setTransform(this.ratio * this.scale, 0, 0, this.ratio * this.scale, this.ratio * this.x, this.ratio * this.y);
    context.beginPath();
    context.rect(area.x0, area.y0, area.width, area.height);
    context.clip();
    context.clearRect(area.x0, area.y0, area.width, area.height);
    context.imageSmoothingEnabled = this.scale * this.ratio < CRISP_FROM;
    for (const [tint, alpha] of this.styleTints()) {
      context.globalAlpha = alpha;
      context.drawImage(tint.canvas, area.x0, area.y0, area.width, area.height, area.x0, area.y0, area.width, area.height);
    }
    context.restore();
  }

  drawMarks() {
    const context = this.begin(2);
    context.lineJoin = "round";
    if (!this.peeking && this.shown.keypoints) this.sample.keypoints.forEach((points) => this.drawSkeleton(context, points));
    if (!this.peeking && this.shown.face) this.sample.faces.forEach(([x, y, w, h]) => this.twice(context, () => context.rect(x, y, w, h)));
    this.paintMarks(context);
  }

  // Draws a path in dark and light, to be seen on anything.
  twice(context, path, light = "#fff") {
    context.beginPath();
    path();
    context.lineWidth = 3.5 / this.scale;
    context.strokeStyle = "rgba(0, 0, 0, .75)";
    context.stroke();
    context.lineWidth = 1.5 / this.scale;
    context.strokeStyle = light;
    context.stroke();
  }

  drawSkeleton(context, points) {
    for (const [from, to] of LIMBS) {
      const [ax, ay, a] = points[from];
      const [bx, by, b] = points[to];
      if (a && b) {
        this.twice(context, () => {
          context.moveTo(ax, ay);
          context.lineTo(bx, by);
        }, "#ffb300");
      }
    }
    for (const [x, y, seen] of points) {
      if (!seen) continue;
      context.beginPath();
      context.arc(x, y, 3.5 / this.scale, 0, 2 * Math.PI);
      context.fillStyle = seen > 1 ? "#fff" : "#777"; // hidden joints are dark
      context.fill();
      context.lineWidth = 1.5 / this.scale;
      context.strokeStyle = "#000";
      context.stroke();
    }
  }
}

// Draws a photo with a mask into a small canvas, for a choice between two.
export function drawSmall(canvas, photo, mask) {
  const scale = Math.min(canvas.width / mask.width, canvas.height / mask.height);
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, (canvas.width - mask.width * scale) / 2, (canvas.height - mask.height * scale) / 2);
  if (photo) context.drawImage(photo, 0, 0, mask.width, mask.height);
  const tint = new Tint(mask, COLOURS.mine);
  tint.restyle("fill", 1);
  context.globalAlpha = 0.5;
  context.drawImage(tint.canvas, 0, 0);
}
