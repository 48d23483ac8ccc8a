// `meanshape export dan -o dan.onnx --fp16 --with-crop` in a page: picture and box in, 68 points out.

const told = document.getElementById("told");
const canvas = document.getElementById("canvas");
const pen = canvas.getContext("2d", { willReadFrequently: true });
let picture = null;
let start = null;

ort.env.wasm.wasmPaths = new URL("node_modules/onnxruntime-web/dist/", location).href;
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create("dan.onnx", { executionProviders: ["wasm"] });
told.textContent = "ready";

function pixels() { // RGB of the whole picture, rows from the top
  const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
  const rgb = new Uint8Array(canvas.width * canvas.height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    rgb[to++] = data[from];
    rgb[to++] = data[from + 1];
    rgb[to++] = data[from + 2];
  }
  return new ort.Tensor("uint8", rgb, [canvas.height, canvas.width, 3]);
}

// box: left, top, right, bottom, in pixels whose centres are whole numbers
async function place(box) {
  pen.drawImage(picture, 0, 0);
  const began = performance.now();
  const answer = await session.run({ image: pixels(), box: new ort.Tensor("float32", Float32Array.from(box), [4]) });
  const points = answer.points.data;
  told.textContent = `${points.length / 2} points in ${(performance.now() - began).toFixed(0)} ms`;
  pen.fillStyle = "#21c7ff";
  for (let at = 0; at < points.length; at += 2) {
    pen.beginPath();
    pen.arc(points[at] + 0.5, points[at + 1] + 0.5, Math.max(1.5, (box[2] - box[0]) / 70), 0, 7);
    pen.fill();
  }
  return [...points];
}

async function show(source) {
  picture = await createImageBitmap(source, { imageOrientation: "from-image" });
  canvas.width = picture.width;
  canvas.height = picture.height;
  pen.drawImage(picture, 0, 0);
}

const at = (event) => [(event.offsetX * canvas.width) / canvas.clientWidth - 0.5, (event.offsetY * canvas.height) / canvas.clientHeight - 0.5];
document.getElementById("file").addEventListener("change", (event) => show(event.target.files[0]));
canvas.addEventListener("pointerdown", (event) => { start = at(event); });
canvas.addEventListener("pointermove", (event) => {
  if (!start || !picture) return;
  const now = at(event);
  pen.drawImage(picture, 0, 0);
  pen.strokeStyle = "#ffb02e";
  pen.lineWidth = canvas.width / 300;
  pen.strokeRect(start[0] + 0.5, start[1] + 0.5, now[0] - start[0], now[1] - start[1]);
});
canvas.addEventListener("pointerup", (event) => {
  const end = at(event);
  const [left, right] = [start[0], end[0]].sort((a, b) => a - b);
  const [top, bottom] = [start[1], end[1]].sort((a, b) => a - b);
  start = null;
  if (picture && right - left > 8 && bottom - top > 8) place([left, top, right, bottom]);
});
window.dan = { place, show, session };
