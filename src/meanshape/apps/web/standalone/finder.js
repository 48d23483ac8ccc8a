// Faces in a picture: Glance's network on a few sizes of it, without the second look that Python takes.

const BYTES = 4;

export function pixelsOf(source, left, top, width, height, wide, high, padWide = wide, padHigh = high) {
  // A part of a picture, resized; what is beyond it is grey. RGB, rows from the top.
  const canvas = new OffscreenCanvas(padWide, padHigh);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "rgb(127 127 127)";
  pen.fillRect(0, 0, padWide, padHigh);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(source, left, top, width, height, 0, 0, wide, high);
  const { data } = pen.getImageData(0, 0, padWide, padHigh);
  const rgb = new Uint8Array(padWide * padHigh * 3);
  for (let from = 0, to = 0; from < data.length; from += BYTES) {
    rgb[to++] = data[from];
    rgb[to++] = data[from + 1];
    rgb[to++] = data[from + 2];
  }
  return rgb;
}

function cells(width, height, { strides, units }) { // centre and unit of each, in the network's order
  const found = [];
  strides.forEach((stride, n) => {
    for (let row = 0; row < Math.floor(height / stride); row++) {
      for (let column = 0; column < Math.floor(width / stride); column++) {
        found.push([(column + 0.5) * stride - 0.5, (row + 0.5) * stride - 0.5, units[n]]);
      }
    }
  });
  return found;
}

const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);

function shared(one, other) {
  const wide = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const high = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  return Math.max(wide, 0) * Math.max(high, 0);
}

export function suppressed(faces, overlap, inside) { // best first, each face once
  const kept = [];
  for (const face of [...faces].sort((one, other) => other.score - one.score)) {
    const clash = kept.some(({ box }) => {
      const both = shared(box, face.box);
      return both > overlap * (area(box) + area(face.box) - both) || both > inside * Math.min(area(box), area(face.box));
    });
    if (!clash) kept.push(face);
  }
  return kept;
}

async function look(session, source, size, scale, about) {
  const [width, height] = size;
  const [wide, high] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const [padWide, padHigh] = [wide, high].map((side) => Math.ceil(side / about.multiple) * about.multiple);
  const pixels = pixelsOf(source, 0, 0, width, height, wide, high, padWide, padHigh);
  const answer = await session.run({ pixels: new ort.Tensor("uint8", pixels, [1, padHigh, padWide, 3]) });
  const { data, dims } = answer[session.outputNames[0]];
  const count = dims[2];
  const found = [];
  cells(padWide, padHigh, about).forEach(([x, y, unit], cell) => {
    const score = 1 / (1 + Math.exp(-(about.slope * data[cell] + about.shift)));
    if (score < about.threshold) return;
    const said = (row) => data[row * count + cell];
    const [middleX, middleY] = [x + said(1) * unit, y + said(2) * unit];
    const [halfX, halfY] = [3, 4].map((row) => (Math.exp(Math.min(Math.max(said(row), -5), 5)) * unit) / 2);
    const back = (value, by) => (value + 0.5) * by - 0.5;
    const [byX, byY] = [width / wide, height / high];
    const box = [back(middleX - halfX, byX), back(middleY - halfY, byY), back(middleX + halfX, byX), back(middleY + halfY, byY)];
    if (middleX < wide && middleY < high) found.push({ box, score });
  });
  return found;
}

export async function find(session, source, size, about) { // [{box, score}], best first
  const found = [];
  for (let scale = about.smallest / about.min_face; ; scale /= about.step) {
    found.push(...await look(session, source, size, scale, about));
    if (Math.max(...size) * scale <= about.covered) break;
  }
  return suppressed(found, about.overlap, about.inside);
}

export async function place(session, source, size, box, about) { // the points of one face, pixels of the picture
  const [left, top, right, bottom] = about.canonical.map((part, n) => (n % 2 ? box[1] + part * (box[3] - box[1]) : box[0] + part * (box[2] - box[0])));
  const room = 0.8 * Math.max(right - left, bottom - top);
  const x = Math.max(0, Math.floor(left - room));
  const y = Math.max(0, Math.floor(top - room));
  const wide = Math.max(1, Math.min(size[0], Math.ceil(right + room) + 1) - x);
  const high = Math.max(1, Math.min(size[1], Math.ceil(bottom + room) + 1) - y);
  const image = new ort.Tensor("uint8", pixelsOf(source, x, y, wide, high, wide, high), [high, wide, 3]);
  const start = new ort.Tensor("float32", Float32Array.of(left - x, top - y, right - x, bottom - y), [4]);
  const { data } = (await session.run({ image, box: start })).points;
  return Array.from({ length: data.length / 2 }, (_, n) => [data[2 * n] + x, data[2 * n + 1] + y]);
}
