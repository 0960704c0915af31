// Masks as bytes, one a pixel, along the rows. Every change is made on these and drawn from them: a browser may alter
// the pixels that a page reads back from a canvas.

export class Box {
  constructor(x0, y0, x1, y1) {
    Object.assign(this, { x0, y0, x1, y1 }); // the right and lower ends are not inside
  }

  static empty() {
    return new Box(Infinity, Infinity, -Infinity, -Infinity);
  }

  get isEmpty() {
    return this.x1 <= this.x0 || this.y1 <= this.y0;
  }

  get width() {
    return this.x1 - this.x0;
  }

  get height() {
    return this.y1 - this.y0;
  }

  with(other) {
    if (other.isEmpty) return this;
    if (this.isEmpty) return other;
    return new Box(
      Math.min(this.x0, other.x0),
      Math.min(this.y0, other.y0),
      Math.max(this.x1, other.x1),
      Math.max(this.y1, other.y1),
    );
  }

  within(width, height) {
    return new Box(
      Math.max(0, Math.floor(this.x0)),
      Math.max(0, Math.floor(this.y0)),
      Math.min(width, Math.ceil(this.x1)),
      Math.min(height, Math.ceil(this.y1)),
    );
  }
}

export class Mask {
  constructor(width, height, pixels = new Uint8Array(width * height)) {
    Object.assign(this, { width, height, pixels });
  }

  // From the server's numbers: height, width, then run lengths from background on.
  static fromRuns(numbers) {
    const [height, width] = numbers;
    const mask = new Mask(width, height);
    let place = 0;
    for (let i = 2; i < numbers.length; i += 1) {
      if (i % 2) mask.pixels.fill(1, place, place + numbers[i]);
      place += numbers[i];
    }
    return mask;
  }

  runs() {
    const runs = [];
    const { pixels } = this;
    let value = 0;
    let start = 0;
    while (start < pixels.length) {
      let end = pixels.indexOf(1 - value, start);
      if (end < 0) end = pixels.length;
      runs.push(end - start);
      start = end;
      value = 1 - value;
    }
    return runs;
  }

  copy() {
    return new Mask(this.width, this.height, this.pixels.slice());
  }

  get box() {
    return new Box(0, 0, this.width, this.height);
  }

  get area() {
    let count = 0;
    for (let i = 0; i < this.pixels.length; i += 1) count += this.pixels[i];
    return count;
  }

  equals(other) {
    if (other.pixels.length !== this.pixels.length) return false;
    for (let i = 0; i < this.pixels.length; i += 1) if (this.pixels[i] !== other.pixels[i]) return false;
    return true;
  }

  iou(other) {
    let both = 0;
    let any = 0;
    for (let i = 0; i < this.pixels.length; i += 1) {
      both += this.pixels[i] & other.pixels[i];
      any += this.pixels[i] | other.pixels[i];
    }
    return any ? both / any : 1;
  }

  cut(box) {
    const part = new Uint8Array(box.width * box.height);
    for (let y = 0; y < box.height; y += 1) {
      const from = (box.y0 + y) * this.width + box.x0;
      part.set(this.pixels.subarray(from, from + box.width), y * box.width);
    }
    return part;
  }

  paste(box, part) {
    for (let y = 0; y < box.height; y += 1) {
      this.pixels.set(part.subarray(y * box.width, (y + 1) * box.width), (box.y0 + y) * this.width + box.x0);
    }
  }

  // Draws along a line with a round brush; the middle of a pixel decides. Gives the box of what was touched.
  line(ax, ay, bx, by, radius, value) {
    const reach = radius + 1;
    const box = new Box(
      Math.min(ax, bx) - reach,
      Math.min(ay, by) - reach,
      Math.max(ax, bx) + reach,
      Math.max(ay, by) + reach,
    ).within(this.width, this.height);
    const dx = bx - ax;
    const dy = by - ay;
    const length = dx * dx + dy * dy;
    const limit = Math.max(radius, 0.5) ** 2;
    for (let y = box.y0; y < box.y1; y += 1) {
      for (let x = box.x0; x < box.x1; x += 1) {
        const px = x + 0.5 - ax;
        const py = y + 0.5 - ay;
        const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
        const ex = px - along * dx;
        const ey = py - along * dy;
        if (ex * ex + ey * ey <= limit) this.pixels[y * this.width + x] = value;
      }
    }
    return box;
  }

  // Fills a polygon, even and odd; the middle of a pixel decides. Gives the box of what was touched.
  polygon(points, value) {
    const xs = points.map(([x]) => x);
    const ys = points.map(([, y]) => y);
    const box = new Box(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)).within(this.width, this.height);
    for (let y = box.y0; y < box.y1; y += 1) {
      const middle = y + 0.5;
      const crossings = [];
      points.forEach(([ax, ay], i) => {
        const [bx, by] = points[(i + 1) % points.length];
        if (ay <= middle !== by <= middle) crossings.push(ax + ((middle - ay) / (by - ay)) * (bx - ax));
      });
      crossings.sort((a, b) => a - b);
      for (let i = 0; i + 1 < crossings.length; i += 2) {
        const from = Math.max(box.x0, Math.ceil(crossings[i] - 0.5));
        const to = Math.min(box.x1, Math.ceil(crossings[i + 1] - 0.5));
        if (to > from) this.pixels.fill(value, y * this.width + from, y * this.width + to);
      }
    }
    return box;
  }
}

// The superpixels of a photo, which may be coarser than the mask.
export class Superpixels {
  constructor(numbers, width, height) {
    [this.height, this.width] = numbers;
    this.labels = numbers.subarray(2);
    this.sx = this.width / width;
    this.sy = this.height / height;
    this.boxes = new Map();
    for (let y = 0, i = 0; y < this.height; y += 1) {
      for (let x = 0; x < this.width; x += 1, i += 1) {
        const label = this.labels[i];
        const box = this.boxes.get(label);
        if (box) {
          if (x < box[0]) box[0] = x;
          if (x >= box[2]) box[2] = x + 1;
          if (y >= box[3]) box[3] = y + 1;
        } else {
          this.boxes.set(label, [x, y, x + 1, y + 1]);
        }
      }
    }
  }

  at(x, y) {
    const column = Math.floor(x * this.sx);
    const row = Math.floor(y * this.sy);
    if (column < 0 || row < 0 || column >= this.width || row >= this.height) return -1;
    return this.labels[row * this.width + column];
  }

  // Sets the pixels of one superpixel in a mask. Gives the box of what was touched.
  fill(mask, label, value) {
    const [x0, y0, x1, y1] = this.boxes.get(label);
    const box = new Box(x0 / this.sx - 1, y0 / this.sy - 1, x1 / this.sx + 1, y1 / this.sy + 1).within(mask.width, mask.height);
    for (let y = box.y0; y < box.y1; y += 1) {
      const row = Math.min(this.height - 1, Math.floor((y + 0.5) * this.sy)) * this.width;
      for (let x = box.x0; x < box.x1; x += 1) {
        const column = Math.min(this.width - 1, Math.floor((x + 0.5) * this.sx));
        if (this.labels[row + column] === label) mask.pixels[y * mask.width + x] = value;
      }
    }
    return box;
  }
}
