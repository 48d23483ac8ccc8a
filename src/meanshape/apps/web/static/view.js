// A picture with shapes on it, in a canvas: zoom, pan, hover; pages add what else they draw and catch.

export const COLOURS = ["#21c7ff", "#ffb02e", "#ff5d8f", "#8be04e", "#b48cff", "#ff7847", "#3be3b8", "#f4e04d"];

export class View {
  constructor(stage) {
    this.stage = stage;
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "picture with landmarks");
    this.tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true });
    stage.append(this.canvas, this.tip);
    this.picture = null;
    this.shapes = []; // {points, edges, names, colour, colours, box, pose, visible}
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.pointers = new Map();
    this.onPick = null; // (event, place) => true if the page takes the pointer
    this.onDrag = null;
    this.onDrop = null;
    this.paintMore = null;
    new ResizeObserver(() => this.resize()).observe(stage);
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => this.down(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const kind of ["pointerup", "pointercancel"]) this.canvas.addEventListener(kind, (event) => this.up(event));
    this.canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  show(picture, width, height) {
    const fresh = !this.picture || width !== this.width || height !== this.height;
    Object.assign(this, { picture, width, height });
    if (fresh) this.fit();
    this.paint();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.stage.clientWidth * ratio);
    this.canvas.height = Math.round(this.stage.clientHeight * ratio);
    if (this.picture && !this.moved) this.fit();
    this.paint();
  }

  fit() {
    const { clientWidth: w, clientHeight: h } = this.stage;
    this.scale = Math.min(w / this.width, h / this.height) * 0.98;
    this.x = (w - this.width * this.scale) / 2;
    this.y = (h - this.height * this.scale) / 2;
    this.moved = false;
  }

  // A point of the picture has its centre at whole numbers: (0, 0) is the middle of the first pixel.
  toScreen([x, y]) { return [(x + 0.5) * this.scale + this.x, (y + 0.5) * this.scale + this.y]; }
  toPicture([x, y]) { return [(x - this.x) / this.scale - 0.5, (y - this.y) / this.scale - 0.5]; }

  zoom(factor, at = [this.stage.clientWidth / 2, this.stage.clientHeight / 2]) {
    const next = Math.min(Math.max(this.scale * factor, 0.02), 60);
    this.x = at[0] - ((at[0] - this.x) * next) / this.scale;
    this.y = at[1] - ((at[1] - this.y) * next) / this.scale;
    this.scale = next;
    this.moved = true;
    this.paint();
  }

  look(box) { // let a face fill the view
    const { clientWidth: w, clientHeight: h } = this.stage;
    this.scale = Math.min(w / (box[2] - box[0]), h / (box[3] - box[1])) * 0.7;
    this.x = w / 2 - ((box[0] + box[2]) / 2 + 0.5) * this.scale;
    this.y = h / 2 - ((box[1] + box[3]) / 2 + 0.5) * this.scale;
    this.moved = true;
    this.paint();
  }

  place(event) { return [event.offsetX, event.offsetY]; }

  wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY * 0.0015), this.place(event));
  }

  down(event) {
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.place(event));
    this.taken = this.pointers.size === 1 && this.onPick?.(event, this.place(event));
  }

  move(event) {
    const now = this.place(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) return this.hover(now);
    this.pointers.set(event.pointerId, now);
    if (this.taken) return this.onDrag?.(event, now);
    if (this.pointers.size === 2) {
      const [one, two] = [...this.pointers.values()];
      const apart = Math.hypot(one[0] - two[0], one[1] - two[1]);
      if (this.apart) this.zoom(apart / this.apart, [(one[0] + two[0]) / 2, (one[1] + two[1]) / 2]);
      this.apart = apart;
    } else {
      this.x += now[0] - before[0];
      this.y += now[1] - before[1];
      this.moved = true;
      this.paint();
    }
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    this.apart = null;
    if (this.taken) this.onDrop?.(event, this.place(event));
    this.taken = false;
  }

  key(event) {
    const step = 40;
    const keys = { "+": () => this.zoom(1.25), "=": () => this.zoom(1.25), "-": () => this.zoom(0.8), 0: () => { this.fit(); this.paint(); } };
    const pans = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (this.onKey?.(event)) return event.preventDefault();
    if (event.ctrlKey || event.metaKey) return undefined;
    if (keys[event.key]) keys[event.key]();
    else if (pans[event.key]) {
      this.x += pans[event.key][0];
      this.y += pans[event.key][1];
      this.moved = true;
      this.paint();
    } else return undefined;
    return event.preventDefault();
  }

  nearest(at, reach = 10) {
    let best = null;
    this.shapes.forEach((shape, number) => shape.points.forEach((point, index) => {
      if (point[0] === null) return;
      const [x, y] = this.toScreen(point);
      const away = Math.hypot(x - at[0], y - at[1]);
      if (away < reach && (!best || away < best.away)) best = { shape: number, index, away, x, y };
    }));
    return best;
  }

  hover(at) {
    const found = this.nearest(at);
    this.tip.hidden = !found;
    if (!found) return;
    const shape = this.shapes[found.shape];
    this.tip.textContent = `${found.index} ${(shape.names?.[found.index] ?? "").replaceAll("_", " ")}${shape.notes?.[found.index] ?? ""}`;
    this.tip.style.left = `${found.x}px`;
    this.tip.style.top = `${found.y}px`;
  }

  paint() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null;
      this.paintNow();
    });
  }

  paintNow() {
    const ratio = window.devicePixelRatio || 1;
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, this.stage.clientWidth, this.stage.clientHeight);
    if (!this.picture) return;
    pen.imageSmoothingEnabled = this.scale < 3;
    pen.drawImage(this.picture, this.x, this.y, this.width * this.scale, this.height * this.scale);
    this.shapes.forEach((shape, number) => drawShape(pen, shape, (point) => this.toScreen(point), COLOURS[number % COLOURS.length]));
    this.paintMore?.(pen);
  }
}

export function drawShape(pen, shape, place, fallback) {
  const colour = shape.colour ?? fallback;
  pen.lineJoin = pen.lineCap = "round";
  if (shape.box) {
    const [left, top] = place([shape.box[0] - 0.5, shape.box[1] - 0.5]);
    const [right, bottom] = place([shape.box[2] - 0.5, shape.box[3] - 0.5]);
    pen.strokeStyle = colour;
    pen.lineWidth = 1.5;
    pen.setLineDash([6, 5]);
    pen.strokeRect(left, top, right - left, bottom - top);
    pen.setLineDash([]);
  }
  const points = shape.points.map((point) => (point[0] === null ? null : place(point)));
  pen.strokeStyle = colour;
  pen.globalAlpha = 0.55;
  pen.lineWidth = 1.5;
  for (const [from, to] of shape.edges ?? []) {
    if (!points[from] || !points[to]) continue;
    pen.beginPath();
    pen.moveTo(...points[from]);
    pen.lineTo(...points[to]);
    pen.stroke();
  }
  pen.globalAlpha = 1;
  points.forEach((point, index) => {
    if (!point) return;
    pen.beginPath();
    pen.arc(...point, shape.radius ?? 2.8, 0, 7);
    pen.fillStyle = shape.colours?.[index] ?? colour;
    pen.strokeStyle = "#0009";
    pen.lineWidth = 1;
    if (shape.visible?.[index] === false) {
      pen.strokeStyle = pen.fillStyle;
      pen.lineWidth = 1.6;
      pen.stroke();
    } else {
      pen.fill();
      pen.stroke();
    }
  });
  if (shape.pose && shape.box) drawPose(pen, shape, place);
}

// Axes of the head: its right, up and forward. +pitch up, +yaw and +roll toward the subject's right, which
// is the picture's left.
export function axes({ pitch, yaw, roll }) {
  const [p, y, r] = [pitch, yaw, roll].map((angle) => (angle * Math.PI) / 180);
  const turn = ([x, up, z]) => {
    [up, z] = [up * Math.cos(p) + z * Math.sin(p), z * Math.cos(p) - up * Math.sin(p)];
    [x, z] = [x * Math.cos(y) + z * Math.sin(y), z * Math.cos(y) - x * Math.sin(y)];
    [x, up] = [x * Math.cos(r) + up * Math.sin(r), up * Math.cos(r) - x * Math.sin(r)];
    return [-x, -up]; // onto the picture: the subject's right is its left, up is up
  };
  return [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map(turn);
}

function drawPose(pen, shape, place) {
  const [left, top, right, bottom] = shape.box;
  const middle = [(left + right) / 2, (top + bottom) / 2];
  const length = (right - left) * 0.45;
  axes(shape.pose).forEach(([x, y], number) => {
    pen.beginPath();
    pen.moveTo(...place(middle));
    pen.lineTo(...place([middle[0] + x * length, middle[1] + y * length]));
    pen.strokeStyle = ["#ff4d4d", "#41d36b", "#4d8dff"][number];
    pen.lineWidth = 3;
    pen.stroke();
  });
}

// Common to the pages: a stage that takes files, and lines of text that say how things are.
export function takesFiles(stage, input, take) {
  const over = (on) => stage.classList.toggle("over", on);
  stage.addEventListener("dragover", (event) => { event.preventDefault(); over(true); });
  stage.addEventListener("dragleave", () => over(false));
  stage.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
  });
  input.addEventListener("change", () => { if (input.files.length) take([...input.files]); input.value = ""; });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length) take(files);
  });
}

export function extent(points) { // [left, top, right, bottom] of the points that are there; null without any
  const known = points.filter(([x]) => x !== null);
  if (!known.length) return null;
  const [xs, ys] = [0, 1].map((axis) => known.map((point) => point[axis]));
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

export async function decoded(file) {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return null; // a format that browsers cannot show: the server may still read it
  }
}

export function download(name, content, type) {
  const link = Object.assign(document.createElement("a"), {
    href: URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type })),
    download: name,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
