// Correct: points placed by the model, dragged and nudged into place; every change is saved at once.

import { get, markup, place, save } from "./api.js";
import { View, extent } from "./view.js";

const $ = (id) => document.getElementById(id);
const view = new View($("stage"));
let kind = null; // the mark-up
let photos = [];
let now = null; // {name, version, faces: [{points, visible, box, checked, …}], undo, redo, changes, saved}
let picked = null; // {face, index}
let adding = null; // a corner of the box that is being drawn
let conflict = null;
let saving = Promise.resolve();
let timer = null;
const trail = []; // names, in the order in which they were opened

function fail(error) {
  $("error").textContent = error?.message ?? "";
  $("error").hidden = !error;
}

function state(text, good = true) {
  $("state").textContent = text;
  $("state").className = good ? "good" : "soft";
}

const copy = (faces) => faces.map((face) => ({ ...face, points: face.points.map((point) => [...point]), visible: face.visible && [...face.visible], box: face.box && [...face.box] }));
const checked = (label) => label.faces.filter((face) => face.checked).length;
const done = (label) => Boolean(label.version) && checked(label) === label.faces.length;
const unsaved = () => Boolean(now) && now.changes !== now.saved;

function told(label) {
  const rest = done(label) ? "" : `, ${checked(label)} of ${label.faces.length} checked`;
  state(label.version ? `saved${rest}` : "not corrected yet", Boolean(label.version));
}

// The folder

async function overview() {
  const folder = await get("/v1/folder");
  kind = await markup(folder.markup).catch(() => null) ?? kind;
  photos = folder.photos;
  document.title = `Meanshape: ${folder.name}`;
  list();
}

function list() {
  const ready = photos.filter((photo) => photo.done).length;
  $("count").textContent = `${ready} of ${photos.length} photos done`;
  $("bar").firstElementChild.style.width = `${(100 * ready) / photos.length}%`;
  $("bar").setAttribute("aria-valuenow", Math.round((100 * ready) / photos.length));
  $("photos").replaceChildren(...photos.map((photo) => {
    const button = document.createElement("button");
    const sure = photo.confidence === null ? "" : `${Math.round(100 * photo.confidence)} %`;
    const mark = photo.done ? "✓" : photo.checked ? `${photo.checked} of ${photo.faces}` : sure;
    button.append(...[photo.name, mark].map((textContent) => Object.assign(document.createElement("span"), { textContent })));
    if (photo.name === now?.name) button.setAttribute("aria-current", "true");
    button.onclick = () => open(photo.name);
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

async function open(name) {
  if (!(await settle())) return;
  fail(null);
  $("unsaved").hidden = true;
  conflict = picked = adding = null;
  $("conflict").hidden = true;
  $("busy").hidden = false;
  try {
    const [label, picture] = await Promise.all([get("/v1/folder/label", { name }), loaded(name)]);
    now = { name, version: label.version, faces: faces(label), undo: [], redo: [], changes: 0, saved: 0 };
    picked = now.faces.length ? { face: 0, index: 0 } : null;
    if (!trail.includes(name)) trail.push(name);
    $("title").textContent = name;
    $("empty").hidden = true;
    view.picture = null; // a new photo is shown whole
    show();
    view.show(picture, picture.width, picture.height);
    location.hash = encodeURIComponent(name);
    told(now);
    $("hint").hidden = Boolean(label.version || now.faces.length);
    list();
  } catch (error) {
    fail(error);
  } finally {
    $("busy").hidden = true;
  }
}

const faces = (label) => label.faces.filter((face) => face.shape).map(({ shape, box, emotion, attributes }) => ({
  points: shape.points, visible: shape.visible, box, emotion, attributes, checked: Boolean(label.version) && attributes?.checked !== "no",
}));

async function loaded(name) {
  const response = await fetch(`/v1/folder/photo?${new URLSearchParams({ name })}`);
  if (!response.ok) throw new Error(`${name} cannot be shown`);
  return createImageBitmap(await response.blob(), { imageOrientation: "from-image" });
}

function show() {
  view.shapes = (now?.faces ?? []).map(({ points, visible }) => ({ points, visible, edges: kind?.edges, names: kind?.points, radius: 3.4 }));
  view.paint();
}

view.paintMore = (pen) => {
  const point = picked && now?.faces[picked.face]?.points[picked.index];
  if (point && point[0] !== null) {
    pen.beginPath();
    pen.arc(...view.toScreen(point), 8, 0, 7);
    pen.strokeStyle = "#fff";
    pen.lineWidth = 2;
    pen.stroke();
  }
  if (adding?.to) {
    const [x, y] = view.toScreen(adding.from);
    const [u, v] = view.toScreen(adding.to);
    pen.strokeStyle = "#ffb02e";
    pen.lineWidth = 2;
    pen.strokeRect(x, y, u - x, v - y);
  }
};

// Changes

function change(work) {
  if (!now) return;
  now.undo.push(copy(now.faces));
  now.redo = [];
  work();
  changed();
}

function changed() {
  now.changes += 1;
  $("hint").hidden = true;
  show();
  buttons();
  state("saving…", false);
  clearTimeout(timer);
  timer = setTimeout(store, 250);
}

function buttons() {
  $("undo").disabled = !now?.undo.length;
  $("redo").disabled = !now?.redo.length;
}

function back(from, to) {
  if (!now?.[from].length) return;
  now[to].push(copy(now.faces));
  now.faces = now[from].pop();
  if (picked && !now.faces[picked.face]) picked = null;
  changed();
}

function store() {
  clearTimeout(timer);
  timer = null;
  const label = now;
  saving = saving.then(async () => {
    if (conflict) return false;
    const { changes } = label;
    try {
      const answer = await save(label.name, { version: label.version, faces: label.faces });
      label.version = answer.version;
      label.saved = changes;
      const photo = photos.find(({ name }) => name === label.name);
      Object.assign(photo ?? {}, { done: done(label), checked: checked(label), faces: label.faces.length });
      list();
      fail(null);
      $("unsaved").hidden = true;
      if (label === now && !timer) told(label);
      return true;
    } catch (error) {
      fail(error);
      state("not saved", false);
      if (error.status === 409 && label === now) {
        conflict = error.body.label;
        $("conflict").hidden = false;
      } else $("unsaved").hidden = !unsaved();
      return error.status === 422 && label.changes === label.saved; // no label of this form: nothing to wait for
    }
  });
  return saving;
}

// Save what has changed, also what could not be saved before. Answers whether the photo may be left.
async function settle() {
  if (timer) store();
  await saving;
  if (unsaved() && !conflict) await store();
  return !unsaved();
}

function moved(face, index, dx, dy) {
  const { points } = face;
  const grip = $("grip").value;
  face.checked = true;
  const group = Object.values(kind?.groups ?? {}).filter((indices) => indices.includes(index)).sort((a, b) => a.length - b.length)[0];
  const which = grip === "face" ? points.keys() : grip === "group" && group ? group : [index];
  if (grip === "face" && face.box) face.box = face.box.map((edge, side) => edge + (side % 2 ? dy : dx));
  for (const number of which) {
    if (points[number][0] !== null) points[number] = [points[number][0] + dx, points[number][1] + dy];
  }
}

view.onPick = (event, at) => {
  if (adding) {
    adding = { from: view.toPicture(at) };
    return true;
  }
  const found = view.nearest(at, event.pointerType === "touch" ? 22 : 12);
  if (!found) return false;
  picked = { face: found.shape, index: found.index };
  now.undo.push(copy(now.faces));
  now.redo = [];
  view.last = view.toPicture(at);
  view.paint();
  return true;
};

view.onDrag = (event, at) => {
  const place_ = view.toPicture(at);
  if (adding) adding.to = place_;
  else {
    moved(now.faces[picked.face], picked.index, place_[0] - view.last[0], place_[1] - view.last[1]);
    view.last = place_;
    view.drew = true;
  }
  show();
};

view.onDrop = async () => {
  if (adding?.to) {
    const [left, right] = [adding.from[0], adding.to[0]].sort((a, b) => a - b);
    const [top, bottom] = [adding.from[1], adding.to[1]].sort((a, b) => a - b);
    toggleAdding();
    if (right - left > 4 && bottom - top > 4) await add({ left, top, right, bottom });
  } else if (view.drew) changed();
  else if (!adding) now.undo.pop();
  view.drew = false;
  buttons();
};

async function add(box) {
  try {
    const { points } = await place({ name: now.name, ...box });
    change(() => {
      now.faces.push({ points, visible: null, box: [box.left, box.top, box.right, box.bottom], checked: false });
      picked = { face: now.faces.length - 1, index: 0 };
    });
  } catch (error) {
    fail(error);
  }
}

function toggleAdding() {
  adding = adding ? null : {};
  $("add").setAttribute("aria-pressed", Boolean(adding));
  view.paint();
}

const point = () => picked && now?.faces[picked.face];

function nudge(dx, dy) {
  if (point()) change(() => moved(point(), picked.index, dx, dy));
}

function hide() {
  if (!point()) return;
  change(() => {
    const face = point();
    face.visible ??= face.points.map(() => true);
    face.visible[picked.index] = !face.visible[picked.index];
    face.checked = true;
  });
}

function none() {
  if (point()) change(() => { point().points[picked.index] = [null, null]; point().checked = true; });
}

function remove() {
  if (!point()) return;
  change(() => {
    now.faces.splice(picked.face, 1);
    picked = now.faces.length ? { face: 0, index: 0 } : null;
  });
}

// Back: the photo that was open before. On: where one came from; else the least certain that is not done.
async function step(by) {
  if (!(await settle())) return;
  if (by > 0 && now && !done(now)) {
    for (const face of now.faces) face.checked = true; // looked at and found right
    if (!(await store())) return;
  }
  await overview().catch(fail);
  const names = photos.map(({ name }) => name);
  const inList = names[names.indexOf(now?.name) + by];
  const again = trail[trail.lastIndexOf(now?.name) + by];
  const waiting = by > 0 ? photos.filter((photo) => !photo.done && photo.name !== now?.name) : [];
  const fresh = (waiting.find((photo) => !trail.includes(photo.name)) ?? waiting[0])?.name;
  const next = again ?? fresh ?? inList;
  if (next) await open(next);
}

// The order changes while the model is still looking at the photos.
async function watch() {
  const known = () => photos.filter((photo) => photo.done || photo.confidence !== null).length;
  for (let before = -1; known() < photos.length && known() !== before;) {
    before = known();
    await new Promise((done) => { setTimeout(done, 1500); });
    if (!$("photos").contains(document.activeElement)) await overview().catch(() => {});
  }
}

function tab(by) {
  const face = point();
  if (!face) return;
  const count = face.points.length;
  for (let number = 1; number <= count; number += 1) {
    const index = (picked.index + by * number + count * number) % count;
    if (face.points[index][0] !== null) {
      picked.index = index;
      break;
    }
  }
  view.paint();
}

function zoom() {
  const around = point() && extent(point().points);
  if (around) view.look(around);
}

view.onKey = (event) => {
  if (!now) return false;
  const far = event.shiftKey ? 5 : 0.5;
  const keys = {
    ArrowLeft: () => nudge(-far, 0), ArrowRight: () => nudge(far, 0), ArrowUp: () => nudge(0, -far), ArrowDown: () => nudge(0, far),
    n: () => step(1), p: () => step(-1), h: hide, Delete: none, Backspace: none, a: toggleAdding, z: zoom,
  };
  if (event.key === "Tab" && picked) tab(event.shiftKey ? -1 : 1);
  else if ((event.ctrlKey || event.metaKey) && event.key === "z") back(event.shiftKey ? "redo" : "undo", event.shiftKey ? "undo" : "redo");
  else if ((event.ctrlKey || event.metaKey) && event.key === "y") back("redo", "undo");
  else if (event.key === "Escape") { picked = null; view.canvas.blur(); view.paint(); } // leaves the picture, for Tab goes from point to point in it
  else if (event.ctrlKey || event.metaKey || !keys[event.key] || (event.key.startsWith("Arrow") && !picked)) return false;
  else keys[event.key]();
  return true;
};

$("previous").onclick = () => step(-1);
$("next").onclick = () => step(1);
$("undo").onclick = () => back("undo", "redo");
$("redo").onclick = () => back("redo", "undo");
$("hide").onclick = hide;
$("none").onclick = none;
$("add").onclick = toggleAdding;
$("remove").onclick = remove;
$("again").onclick = store;
for (const id of ["theirs", "drop"]) {
  $(id).onclick = () => { clearTimeout(timer); timer = conflict = null; now.saved = now.changes; open(now.name); };
}
$("mine").onclick = () => { now.version = conflict.version; conflict = null; $("conflict").hidden = true; fail(null); store(); };
window.addEventListener("beforeunload", (event) => { if (unsaved()) { store(); event.preventDefault(); } });

overview().then(() => {
  const wanted = decodeURIComponent(location.hash.slice(1));
  watch();
  return open(photos.some(({ name }) => name === wanted) ? wanted : photos[0].name);
}).catch((error) => {
  fail(error);
  $("empty").firstElementChild.textContent = error.message;
});
buttons();
window.meanshape = { view, now: () => now, settle };
