// Compare: models side by side on one photo; what a model does step by step; the modes of a shape model.

import { detect, get, markup, steps } from "./api.js";
import { View, decoded, takesFiles } from "./view.js";

const $ = (id) => document.getElementById(id);
const FAR = 0.06; // of the face's size: drawn red
let models = [];
let photo = null; // {file, picture}
const panes = new Map(); // model -> {view, caption, result}
let asked = 0;

function fail(error) {
  $("error").textContent = error?.message ?? "";
  $("error").hidden = !error;
}

const chosen = () => [...document.querySelectorAll("#models input:checked")].map((box) => box.value);

export function heat(share) { // blue where nothing differs, red where much does
  const hue = 210 - 210 * Math.min(share / FAR, 1);
  return `hsl(${hue} 90% 55%)`;
}

function figure(title) {
  const box = document.createElement("figure");
  const stage = Object.assign(document.createElement("div"), { className: "stage" });
  const caption = Object.assign(document.createElement("figcaption"), { textContent: title });
  box.append(stage, caption);
  return { box, view: new View(stage), caption };
}

async function compare() {
  if (!photo) return;
  const number = ++asked;
  const names = chosen();
  fail(null);
  $("busy").hidden = false;
  panes.clear();
  $("panes").replaceChildren(...names.map((name) => {
    const pane = figure(name);
    panes.set(name, pane);
    return pane.box;
  }));
  try {
    for (const name of names) {
      const result = await detect(photo.file, { model: name, max_faces: 1 });
      if (number !== asked) return;
      Object.assign(panes.get(name), { result });
      await draw(name, names[0]);
    }
    table(names);
    await explain();
  } catch (error) {
    if (number === asked) fail(error);
  } finally {
    if (number === asked) $("busy").hidden = true;
  }
}

// Distances to the reference's points that have the same names, in parts of the face's size.
export function distances(face, kind, reference, other) {
  const size = Math.sqrt((reference.box[2] - reference.box[0]) * (reference.box[3] - reference.box[1]));
  const at = new Map(other.points.map((name, index) => [name, reference.shape.points[index]]));
  return kind.points.map((name, index) => {
    const one = face.shape.points[index];
    const two = at.get(name);
    return two ? Math.hypot(one[0] - two[0], one[1] - two[1]) / size : null;
  });
}

async function draw(name, first) {
  const { view, caption, result } = panes.get(name);
  const face = result.faces[0];
  const [width, height] = result.size;
  if (!face) {
    view.show(photo.picture, width, height);
    caption.textContent = `${name}: no face found`;
    return;
  }
  const kind = await markup(face.shape.markup);
  const shape = { points: face.shape.points, edges: kind.edges, names: kind.points, colour: "#21c7ff" };
  const reference = panes.get(first).result?.faces[0];
  if (name !== first && reference) {
    const apart = distances(face, kind, reference, await markup(reference.shape.markup));
    const known = apart.filter((value) => value !== null);
    panes.get(name).apart = known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
    shape.colours = apart.map((value) => (value === null ? "#9aa4b3" : heat(value)));
    shape.notes = apart.map((value) => (value === null ? "" : `: ${(100 * value).toFixed(1)} %`));
  }
  view.shapes = [shape];
  view.show(photo.picture, width, height);
  view.look(face.box);
  const { apart } = panes.get(name);
  caption.textContent = `${name} · ${Math.round(result.seconds * 1000)} ms${apart == null ? "" : ` · ${(100 * apart).toFixed(2)} % away from ${first}`}`;
}

function table(names) {
  $("table").replaceChildren(...names.map((name) => {
    const row = document.createElement("tr");
    const { apart, result } = panes.get(name);
    const cells = [name, apart == null ? (name === names[0] ? "reference" : "–") : `${(100 * apart).toFixed(2)} %`];
    row.append(...cells.map((text) => Object.assign(document.createElement("td"), { textContent: result ? text : "…" })));
    return row;
  }));
}

// The steps of one model

let inside = null;
const stepView = new View($("step-stage"));

async function explain() {
  const name = $("explained").value;
  $("inside").hidden = !name || !photo;
  if (!name || !photo) return;
  try {
    inside = await steps(photo.file, { model: name });
  } catch (error) {
    $("inside").hidden = true;
    fail(error);
    return;
  }
  $("step").max = inside.steps.length - 1;
  $("step").value = inside.steps.length - 1;
  stepView.show(photo.picture, photo.picture.width, photo.picture.height);
  stepView.look(inside.box);
  await step();
}

async function step() {
  const now = inside.steps[$("step").value];
  const kind = await markup(now.markup);
  $("step-title").textContent = `${inside.model}, ${now.name}`;
  stepView.shapes = [{ points: now.points, edges: kind.edges, names: kind.points, colour: "#ffb02e" }];
  stepView.paint();
  $("step-pictures").replaceChildren(...Object.entries(now.pictures).map(([title, source]) => {
    const box = document.createElement("figure");
    box.append(Object.assign(new Image(), { src: source, alt: title }), Object.assign(document.createElement("figcaption"), { textContent: title }));
    return box;
  }));
}

// The modes of one model

const modeView = new View($("mode-stage"));
let weights = [];

async function modes() {
  const [name, kind] = $("moded").value.split("/");
  $("modes").hidden = !name;
  if (!name) return;
  try {
    weights = [];
    modeView.shapes = [];
    const first = await draft(name, kind);
    weights = Array(Math.min(first.count, 8)).fill(0);
    $("modes-title").textContent = `The first of ${name}'s ${first.count} modes of ${kind}, in standard deviations`;
    $("sliders").replaceChildren(...weights.map((_, number) => slider(name, kind, number)));
  } catch (error) {
    fail(error);
  }
}

function slider(name, kind, number) {
  const row = Object.assign(document.createElement("label"), { className: "slider" });
  const range = Object.assign(document.createElement("input"), { type: "range", min: -3, max: 3, step: 0.1, value: 0 });
  const told = Object.assign(document.createElement("span"), { textContent: "0.0" });
  row.append(Object.assign(document.createElement("span"), { textContent: `mode ${number + 1}` }), range, told);
  range.addEventListener("input", () => {
    weights[number] = Number(range.value);
    told.textContent = Number(range.value).toFixed(1);
    draft(name, kind).catch(fail);
  });
  return row;
}

let drafts = 0;

async function draft(name, kind) {
  const number = ++drafts;
  const answer = await get(`/v1/modes/${encodeURIComponent(name)}`, { kind, weights: weights.join(",") });
  const points = await markup(answer.markup);
  const picture = answer.picture ? await loaded(answer.picture) : document.createElement("canvas");
  if (number !== drafts) return answer; // the slider has moved on
  modeView.shapes = [{ points: answer.points, edges: points.edges, names: points.points, colour: "#21c7ff" }];
  modeView.show(picture, ...answer.size);
  return answer;
}

function loaded(source) {
  return new Promise((done, failed) => {
    const picture = new Image();
    picture.onload = () => done(picture);
    picture.onerror = failed;
    picture.src = source;
  });
}

async function start() {
  $("scale").textContent = `blue 0, red ${100 * FAR} %`;
  models = await get("/v1/models");
  $("models").replaceChildren(...models.map(({ name }) => {
    const row = Object.assign(document.createElement("label"), { className: "check" });
    const box = Object.assign(document.createElement("input"), { type: "checkbox", value: name, checked: ["integral", "dan", "cpr", "aam"].includes(name) });
    box.addEventListener("change", compare);
    row.append(box, name);
    return row;
  }));
  const able = (what) => [new Option("nothing", ""), ...models.filter(({ shows }) => shows.includes(what)).map(({ name }) => new Option(name, name))];
  $("explained").replaceChildren(...able("steps"));
  const modal = ["shape", "appearance"].flatMap((kind) => models.filter(({ shows }) => shows.includes(kind)).map(({ name }) => new Option(`${name}, ${kind}`, `${name}/${kind}`)));
  $("moded").replaceChildren(new Option("nothing", ""), ...modal);
  const first = models.find((model) => model.default && model.shows.includes("steps"));
  if (first) $("explained").value = first.name;
}

async function take([file]) {
  photo = { file, picture: await decoded(file) };
  if (!photo.picture) return fail(new Error("This browser cannot show that picture; take a JPEG or PNG."));
  return compare();
}

takesFiles($("stage"), $("files"), take);
$("choose").onclick = () => $("files").click();
$("step").addEventListener("input", step);
$("explained").addEventListener("change", explain);
$("moded").addEventListener("change", modes);
start().catch(fail);
window.meanshape = { panes, take };
