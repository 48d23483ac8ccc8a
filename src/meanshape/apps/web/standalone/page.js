// The page: a photo or the camera in, faces and their points drawn. Nothing is sent anywhere.

import { draw } from "./drawing.js";
import { find, place } from "./finder.js";

const LARGEST = 2400; // pixels of a photo's longer side; larger ones are reduced
const by = (id) => document.getElementById(id);
const [canvas, told, video] = ["canvas", "told", "video"].map(by);
const pen = canvas.getContext("2d");
const state = { about: null, detector: null, model: null, result: null, stream: null, busy: Promise.resolve() };
window.meanshape = state;

async function checked(url, integrity) {
  const got = await fetch(url, { integrity });
  if (!got.ok) throw new Error(`${url}: ${got.status}`);
  return got.arrayBuffer();
}

async function load() {
  const about = await (await fetch("models.json")).json();
  const { base, glue, binary } = about.runtime;
  if (!window.ort) throw new Error("onnxruntime-web could not be loaded");
  ort.env.wasm.numThreads = 1;
  const code = new Blob([await checked(base + glue.file, glue.integrity)], { type: "text/javascript" });
  ort.env.wasm.wasmPaths = { mjs: URL.createObjectURL(code) };
  ort.env.wasm.wasmBinary = await checked(base + binary.file, binary.integrity);
  const made = async ({ file, integrity }) => ort.InferenceSession.create(new Uint8Array(await checked(file, integrity)), { executionProviders: ["wasm"] });
  state.detector = await made(about.detector);
  state.model = await made(about.model);
  state.about = about;
  by("terms").textContent = `Points by ${about.model.name}, faces by ${about.detector.name}. Terms of the weights: ${about.terms}`;
  by("file").disabled = by("camera").disabled = false;
  told.textContent = "Choose a photo, drop one here, or start the camera.";
}

function look(source, size) { // one picture at a time: a network cannot be asked twice at once
  const next = state.busy.then(() => looked(source, size));
  state.busy = next.catch(() => {});
  return next;
}

async function looked(source, size) { // the faces in a picture, with their points
  const began = performance.now();
  const { about, detector, model } = state;
  const faces = await find(detector, source, size, about.detector);
  for (const face of faces) face.points = await place(model, source, size, face.box, about.detector);
  return { faces, size, milliseconds: performance.now() - began };
}

function show(source, result) {
  [canvas.width, canvas.height] = result.size;
  pen.drawImage(source, 0, 0, ...result.size);
  for (const face of [...result.faces].reverse()) draw(pen, face, state.about.model);
  state.result = result;
  const count = result.faces.length;
  told.textContent = `${count || "No"} face${count === 1 ? "" : "s"}, ${result.milliseconds.toFixed(0)} ms`;
  by("picture").disabled = by("points").disabled = false;
}

async function photo(file) {
  stop();
  told.textContent = "Looking…";
  try {
    const picture = await createImageBitmap(file, { imageOrientation: "from-image" });
    const factor = Math.min(1, LARGEST / Math.max(picture.width, picture.height));
    const size = [picture.width, picture.height].map((side) => Math.max(1, Math.round(side * factor)));
    const source = new OffscreenCanvas(...size);
    const inner = source.getContext("2d");
    inner.imageSmoothingQuality = "high";
    inner.drawImage(picture, 0, 0, ...size);
    show(source, { ...await look(source, size), source: file.name });
    if (factor < 1) told.textContent += `; reduced to ${size[0]} × ${size[1]} pixels`;
  } catch (error) {
    told.textContent = `This is no picture that the browser can read (${error.message}).`;
  }
}

async function camera() {
  if (state.stream) return stop();
  if (!navigator.mediaDevices) {
    told.textContent = "A browser gives the camera to pages at https:// or localhost only.";
    return undefined;
  }
  try {
    state.stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, facingMode: "user" } });
  } catch (error) {
    told.textContent = `No camera: ${error.message}`;
    return undefined;
  }
  by("camera").setAttribute("aria-pressed", "true");
  by("camera").textContent = "Stop";
  video.srcObject = state.stream;
  await video.play();
  return follow(state.stream);
}

async function follow(stream) { // one frame after another, as fast as this device can
  const frame = new OffscreenCanvas(1, 1);
  while (state.stream === stream) {
    [frame.width, frame.height] = [video.videoWidth || 1, video.videoHeight || 1];
    frame.getContext("2d").drawImage(video, 0, 0);
    const result = await look(frame, [frame.width, frame.height]);
    if (state.stream !== stream) return;
    show(frame, { ...result, source: "camera" });
    await new Promise(requestAnimationFrame);
  }
}

function stop() {
  state.stream?.getTracks().forEach((track) => track.stop());
  state.stream = null;
  by("camera").setAttribute("aria-pressed", "false");
  by("camera").textContent = "Camera";
}

function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function prediction() { // the schema of `meanshape detect`
  const { result, about } = state;
  const faces = result.faces.map(({ box, score, points }) => ({
    box, score, track: null, shape: { markup: about.model.markup, points, visible: null, confidence: null }, pose: null, emotion: null, attributes: null,
  }));
  return { schema: 1, source: result.source, size: result.size, model: about.model.name, seconds: result.milliseconds / 1000, faces, error: null };
}

by("file").addEventListener("change", (event) => event.target.files[0] && photo(event.target.files[0]));
by("camera").addEventListener("click", camera);
by("picture").addEventListener("click", () => canvas.toBlob((blob) => save(blob, "faces.png"), "image/png"));
by("points").addEventListener("click", () => save(new Blob([JSON.stringify(prediction())], { type: "application/json" }), "faces.json"));
for (const kind of ["dragover", "dragleave", "drop"]) {
  by("stage").addEventListener(kind, (event) => {
    event.preventDefault();
    by("stage").classList.toggle("over", kind === "dragover");
    const file = kind === "drop" && event.dataTransfer.files[0];
    if (file && state.about) photo(file);
  });
}
load().catch((error) => { told.textContent = `The page could not be started: ${error.message}`; });
