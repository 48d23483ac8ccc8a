// Look: photos, a clip or the camera; points, pose, emotion and attributes; results to take along.

import { detect, get, markup } from "./api.js";
import { COLOURS, View, decoded, download, drawShape, extent, takesFiles } from "./view.js";

const $ = (id) => document.getElementById(id);
const view = new View($("stage"));
const video = $("video");
let photos = []; // {file, name, picture, result}
let current = null;
let running = null; // the loop over a clip or the camera
let asked = 0;
let refill = async () => {}; // what there is to choose from depends on the model

const options = () => ({
  model: $("model").value,
  markup: $("markup").value,
  stages: $("stages").value,
  min_face: $("min-face").value || 40,
  emotion: $("emotion").checked || undefined,
  attributes: $("attributes").checked || undefined,
});

function fail(error) {
  $("error").textContent = error?.message ?? "";
  $("error").hidden = !error;
}

function busy(on) {
  $("busy").hidden = !on;
  $("stage").setAttribute("aria-busy", on);
}

async function shapesOf(result) {
  return Promise.all(result.faces.map(async (face, number) => {
    const kind = face.shape && (await markup(face.shape.markup));
    return {
      points: face.shape?.points ?? [],
      edges: kind?.edges,
      names: kind?.points,
      visible: face.shape?.visible,
      box: $("boxes").checked || $("pose").checked ? face.box : null,
      pose: $("pose").checked ? face.pose : null,
      colour: COLOURS[(face.track ?? number) % COLOURS.length],
    };
  }));
}

function tell(result) {
  const list = $("results");
  list.replaceChildren();
  const count = result.faces.length;
  const line = (text, parent = list, kind = "p") => parent.append(Object.assign(document.createElement(kind), { textContent: text }));
  line(`${count || "No"} face${count === 1 ? "" : "s"} · ${Math.round(result.seconds * 1000)} ms · ${result.model}`);
  result.faces.slice(0, 20).forEach((face, number) => {
    const card = Object.assign(document.createElement("div"), { className: "face" });
    card.style.borderLeftColor = COLOURS[(face.track ?? number) % COLOURS.length];
    line(`Face ${(face.track ?? number) + 1}${face.score === null ? "" : ` · score ${face.score.toFixed(2)}`}`, card, "strong");
    if (face.pose) line(`pitch ${face.pose.pitch.toFixed(0)}°, yaw ${face.pose.yaw.toFixed(0)}°, roll ${face.pose.roll.toFixed(0)}°`, card, "div");
    if (face.emotion) line(`${face.emotion.label} (${Math.round(100 * face.emotion.probabilities[face.emotion.label])} %)`, card, "div");
    for (const [name, value] of Object.entries(face.attributes ?? {})) {
      const [label, share] = typeof value === "object" ? Object.entries(value).sort((a, b) => b[1] - a[1])[0] : [value, null];
      line(`${name}: ${label}${share === null ? "" : ` (${Math.round(100 * share)} %)`}`, card, "div");
    }
    list.append(card);
  });
}

async function paint(picture, result) {
  view.shapes = await shapesOf(result);
  const [width, height] = result.size;
  $("empty").hidden = true;
  view.show(picture, width, height);
  tell(result);
}

async function look(photo) {
  const number = ++asked;
  current = photo;
  fail(null);
  busy(true);
  list();
  try {
    const answer = detect(photo.file, options()); // while this browser decodes the picture, too
    answer.catch(() => {}); // said below, when it is waited for
    photo.picture ??= await decoded(photo.file);
    if (photo.picture && number === asked) {
      $("empty").hidden = true;
      view.shapes = [];
      view.show(photo.picture, photo.picture.width, photo.picture.height);
    }
    photo.result = await answer;
    if (number !== asked) return;
    if (!photo.picture) Object.assign(photo, { picture: blank(photo.result.size), blank: true });
    $("note").textContent = photo.blank ? "This browser cannot show such pictures: here are the points alone." : "";
    await paint(photo.picture, photo.result);
    $("export").hidden = false;
  } catch (error) {
    if (number === asked) fail(error);
  } finally {
    if (number === asked) busy(false);
  }
}

function blank([width, height]) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

function list() {
  $("photos").hidden = photos.length < 2;
  $("photos").replaceChildren(...photos.map((photo) => {
    const button = document.createElement("button");
    button.append(Object.assign(document.createElement("span"), { textContent: photo.name }));
    if (photo === current) button.setAttribute("aria-current", "true");
    button.onclick = () => look(photo);
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

function take(files) {
  stop();
  const clip = files.find((file) => file.type.startsWith("video/"));
  if (clip) {
    video.srcObject = null;
    video.src = URL.createObjectURL(clip);
    play(clip.name);
    return;
  }
  photos = files.map((file) => ({ file, name: file.name }));
  look(photos[0]);
}

// A clip or the camera: one frame at a time is with the server; the next is taken and encoded meanwhile.

let seen = NaN; // frames of the video so far: none is looked at twice

async function taken(frame, signal) { // a frame of the video and its bytes, or null
  const count = () => video.getVideoPlaybackQuality?.().totalVideoFrames ?? NaN; // NaN is always another
  const waits = () => !video.videoWidth || video.seeking || video.ended || count() === seen;
  while (!signal.aborted && waits()) await new Promise(requestAnimationFrame);
  if (signal.aborted) return null;
  seen = count();
  const time = performance.now() / 1000;
  const factor = Math.min(1, 640 / Math.max(video.videoWidth, video.videoHeight));
  frame.width = Math.round(video.videoWidth * factor);
  frame.height = Math.round(video.videoHeight * factor);
  frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height);
  const image = await new Promise((done) => { frame.toBlob(done, "image/jpeg", 0.85); });
  return { frame, image, time };
}

async function play(name) {
  const session = crypto.randomUUID?.() ?? String(Math.random());
  // one canvas is shown with its own points, one is with the server, one is being filled
  const frames = Array.from({ length: 3 }, () => document.createElement("canvas"));
  const stopper = new AbortController();
  running = stopper;
  seen = NaN;
  current = { name, file: null };
  $("stop").hidden = false;
  $("export").hidden = true;
  fail(null);
  let times = [];
  try {
    await video.play();
    let next = taken(frames[0], stopper.signal);
    for (let number = 1; ; number += 1) {
      const now = await next;
      if (stopper.signal.aborted || !now?.image) break;
      const answer = detect(now.image, { ...options(), session, time: now.time }, stopper.signal);
      next = taken(frames[number % 3], stopper.signal);
      const result = await answer;
      await paint(now.frame, result);
      current.result = result;
      times = [...times, performance.now()].slice(-20);
      const rate = (times.length - 1) / ((times.at(-1) - times[0]) / 1000 || 1);
      $("note").textContent = times.length > 3 ? `${rate.toFixed(0)} results a second` : "";
      $("note").dataset.rate = rate;
    }
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  } finally {
    if (running === stopper) stop();
  }
}

function stop() {
  running?.abort();
  running = null;
  video.pause();
  video.srcObject?.getTracks().forEach((track) => track.stop());
  video.srcObject = null;
  $("stop").hidden = true;
  $("note").textContent = "";
}

async function camera() {
  stop();
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480 }, audio: false });
  } catch (error) {
    fail(new Error(`The camera cannot be used: ${error.message}`));
    return;
  }
  await play("camera");
}

const stem = (photo) => photo.name.replace(/\.[^./\\]+$/, "") || photo.name;
const files = { // what each button writes: [name, text, type], as many as it takes
  json: async (photo) => [[`${stem(photo)}.json`, JSON.stringify(photo.result), "application/json"]],
  csv: async (photo) => [[`${stem(photo)}.csv`, await table(photo), "text/csv"]],
  pts: async (photo) => shapedFaces(photo).map((face, number) => [`${stem(photo)}${number ? `.face${number + 1}` : ""}.pts`, pts(face), "text/plain"]),
};

function shapedFaces({ result }) {
  const found = result.faces.filter((face) => face.shape);
  if (!found.length) throw new Error("There is no face to write.");
  return found;
}

async function table({ result }) { // as `meanshape detect -o points.csv`
  const rows = [["source", "face", "markup", "point", "name", "x", "y", "visible", "confidence", "left", "top", "right", "bottom", "score"]];
  for (const [number, face] of result.faces.entries()) {
    if (!face.shape) continue;
    const { markup: kind, points, visible, confidence } = face.shape;
    const names = (await markup(kind)).points;
    points.forEach(([x, y], index) => rows.push([result.source, number, kind, index, names[index], x, y, visible && Number(visible[index]), confidence?.[index], ...face.box, face.score]));
  }
  return rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

function cell(value) { // a text that a spreadsheet would run gets an apostrophe in front
  const text = typeof value === "string" && /^[=+\-@]/.test(value) ? `'${value}` : String(value ?? "");
  return /[",;\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function pts(face) { // 1-based, as iBUG's
  const { points } = face.shape;
  if (points.some(([x]) => x === null)) throw new Error("The mark-up leaves points out, which .pts cannot say; take JSON or CSV.");
  const lines = points.map(([x, y]) => `${(x + 1).toFixed(3)} ${(y + 1).toFixed(3)}`);
  return `version: 1\nn_points: ${points.length}\n{\n${lines.join("\n")}\n}\n`;
}

function drawn(photo) {
  const canvas = blank(photo.result.size);
  const pen = canvas.getContext("2d");
  pen.drawImage(photo.picture, 0, 0, canvas.width, canvas.height);
  for (const shape of view.shapes) { // dots and lines grow with the face
    const [left, top, right, bottom] = extent(shape.points) ?? shape.box ?? [0, 0, 0, 0];
    const thick = Math.max(0.5, Math.max(right - left, bottom - top) / 180);
    pen.setTransform(thick, 0, 0, thick, 0, 0);
    drawShape(pen, { ...shape, radius: 2.2 }, ([x, y]) => [(x + 0.5) / thick, (y + 0.5) / thick]);
  }
  canvas.toBlob((blob) => download(`${stem(photo)}.png`, blob));
}

async function start() {
  try {
    const [models, markups] = await Promise.all([get("/v1/models"), get("/v1/markups")]);
    $("model").replaceChildren(...models.map((model) => new Option(`${model.name}: ${model.title}${model.commercial_use ? "" : " (research only)"}`, model.name, model.default, model.default)));
    const fill = async () => {
      const { markup: own, stages = 0 } = models.find(({ name }) => name === $("model").value) ?? {};
      $("stages-row").hidden = stages < 2;
      const fewer = Array.from({ length: Math.max(0, stages - 1) }, (_, number) => new Option(number ? `the first ${number + 1}` : "the first", number + 1));
      $("stages").replaceChildren(new Option(`all ${stages}`, ""), ...fewer);
      const kind = own && (await markup(own));
      const choices = markups.filter((name) => kind?.conversions.includes(name));
      $("markup").replaceChildren(new Option(`the model's (${own})`, ""), ...choices.map((name) => new Option(name, name)));
    };
    refill = fill;
    await fill();
  } catch (error) {
    fail(error);
  }
}

takesFiles($("stage"), $("files"), take);
for (const id of ["choose", "choose-other"]) $(id).onclick = () => $("files").click(); // the first of each goes with the empty stage
for (const id of ["camera", "camera-too"]) $(id).onclick = camera;
$("stop").onclick = stop;
$("fit").onclick = () => { view.fit(); view.paint(); };
for (const id of ["model", "markup", "stages", "min-face", "emotion", "attributes"]) {
  $(id).addEventListener("change", async () => {
    if (id === "model") await refill();
    $("warning").hidden = !($("emotion").checked || $("attributes").checked);
    photos.forEach((photo) => { photo.result = null; });
    if (!running && current?.file) look(current);
  });
}
for (const id of ["boxes", "pose"]) $(id).addEventListener("change", () => current?.result && current.picture && paint(current.picture, current.result));
$("export").addEventListener("click", (event) => {
  const kind = event.target.dataset.as;
  if (!kind || !current?.result) return;
  if (kind === "png") drawn(current);
  else files[kind](current).then((written) => written.forEach((one) => download(...one)), fail);
});
start();
window.meanshape = { view, current: () => current, take, play, video }; // for those who look behind, and for tests
