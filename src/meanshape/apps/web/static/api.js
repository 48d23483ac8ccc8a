// What the pages ask of the server. Every failure is an Error whose message a person can read.

async function answer(response) {
  if (response.ok) return response.json();
  let text = `${response.status} ${response.statusText}`;
  let body = null;
  try {
    body = await response.json();
    text = body.error ?? text;
  } catch { /* no JSON: the status must do */ }
  const error = new Error(text);
  error.status = response.status;
  error.body = body;
  throw error;
}

function query(options) {
  const wanted = Object.entries(options).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return wanted.length ? `?${new URLSearchParams(wanted)}` : "";
}

async function ask(path, init) {
  try {
    return await fetch(path, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
}

const form = (image, name) => {
  const data = new FormData();
  data.append("image", image, name ?? image.name ?? "picture.jpg");
  return data;
};

export const get = async (path, options = {}) => answer(await ask(path + query(options)));

export const detect = async (image, options = {}, signal) =>
  answer(await ask("/v1/detect" + query(options), { method: "POST", body: form(image), signal }));

export const steps = async (image, options) =>
  answer(await ask("/v1/steps" + query(options), { method: "POST", body: form(image) }));

export const place = async (options) => answer(await ask("/v1/folder/place" + query(options), { method: "POST" }));

export const save = async (name, label) =>
  answer(await ask("/v1/folder/label" + query({ name }), {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(label),
  }));

const kinds = new Map();
export function markup(name) {
  if (!kinds.has(name)) {
    kinds.set(name, get(`/v1/markups/${encodeURIComponent(name)}`));
    kinds.get(name).catch(() => kinds.delete(name)); // asked for again
  }
  return kinds.get(name);
}
