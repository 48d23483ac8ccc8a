// Correct: points placed by the model, dragged and nudged into place; every change is saved at once.

import { get, markup, place, save } from "./api.js";
import { View } from "./view.js";

const $ = (id) => document.getElementById(id);
const view = new View($("stage"));
let kind = null; // the mark-up
let photos = [];
let now = null; // {name, version, faces: [{points, visible}], undo, redo}
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

const copy = (faces) => faces.map(({ points, visible, box }) => ({ points: points.map((point) => [...point]), visible: visible && [...visible], box: box && [...box] }));

// The folder

async function overview() {
  const folder = await get("/v1/folder");
  kind = await markup(folder.markup).catch(() => null) ?? kind;
  photos = folder.photos;
  document.title = `Meanshape: ${folder.name}`;
  list();
}

function list() {
  const done = photos.filter((photo) => photo.done).length;
  $("count").textContent = `${done} of ${photos.length} photos done`;
  $("bar").firstElementChild.style.width = `${(100 * done) / photos.length}%`;
  $("bar").setAttribute("aria-valuenow", Math.round((100 * done) / photos.length));
  $("photos").replaceChildren(...photos.map((photo) => {
    const button = document.createElement("button");
    const mark = photo.done ? "✓" : photo.confidence === null ? "" : `${Math.round(100 * photo.confidence)} %`;
    button.append(...[photo.name, mark].map((textContent) => Object.assign(document.createElement("span"), { textContent })));
    if (photo.name === now?.name) button.setAttribute("aria-current", "true");
    button.onclick = () => open(photo.name);
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

async function open(name) {
  await settle();
  fail(null);
  conflict = picked = adding = null;
  $("conflict").hidden = true;
  $("busy").hidden = false;
  try {
    const [label, picture] = await Promise.all([get("/v1/folder/label", { name }), loaded(name)]);
    now = { name, version: label.version, faces: faces(label), undo: [], redo: [] };
    picked = now.faces.length ? { face: 0, index: 0 } : null;
    if (!trail.includes(name)) trail.push(name);
    $("title").textContent = name;
    $("empty").hidden = true;
    view.picture = null; // a new photo is shown whole
    show();
    view.show(picture, picture.width, picture.height);
    location.hash = encodeURIComponent(name);
    state(label.version ? "saved" : "not corrected yet", Boolean(label.version));
    $("hint").hidden = Boolean(label.version || now.faces.length);
    list();
  } catch (error) {
    fail(error);
  } finally {
    $("busy").hidden = true;
  }
}

const faces = (label) => label.faces.filter((face) => face.shape).map(({ shape, box }) => ({ points: shape.points, visible: shape.visible, box }));

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
    if (conflict) return;
    try {
      const answer = await save(label.name, { version: label.version, faces: label.faces });
      label.version = answer.version;
      const photo = photos.find(({ name }) => name === label.name);
      if (photo && !photo.done) {
        photo.done = true;
        list();
      }
      if (label === now && !timer) state("saved");
    } catch (error) {
      fail(error);
      state("not saved", false);
      if (error.status === 409 && label === now) {
        conflict = error.body.label;
        $("conflict").hidden = false;
      }
    }
  });
  return saving;
}

async function settle() {
  if (timer) store();
  await saving;
}

function moved(face, index, dx, dy) {
  const { points } = face;
  const grip = $("grip").value;
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
      now.faces.push({ points, visible: null, box: [box.left, box.top, box.right, box.bottom] });
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
  });
}

function none() {
  if (point()) change(() => { point().points[picked.index] = [null, null]; });
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
  await settle();
  if (by > 0 && now && !now.version && !conflict) await store(); // looked at and found right
  await overview().catch(fail);
  const names = photos.map(({ name }) => name);
  const inList = names[names.indexOf(now?.name) + by];
  const again = trail[trail.lastIndexOf(now?.name) + by];
  const fresh = by > 0 ? photos.find((photo) => !photo.done && photo.name !== now?.name)?.name : null;
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
  const face = point();
  const known = face?.points.filter(([x]) => x !== null);
  if (!known?.length) return;
  const xs = known.map(([x]) => x);
  const ys = known.map(([, y]) => y);
  view.look([Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)]);
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
$("theirs").onclick = () => { const { name } = now; conflict = null; open(name); };
$("mine").onclick = () => { now.version = conflict.version; conflict = null; $("conflict").hidden = true; fail(null); store(); };
window.addEventListener("beforeunload", (event) => { if (timer) { store(); event.preventDefault(); } });

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
