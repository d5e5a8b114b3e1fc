// The page at / of a gateway: an image beside what a model gets of it, in how many bytes, and what it answers.

import { element, kilobytes, made, NARROW, number } from "/page/elements.js";
import { Service } from "/page/service.js";
import { showTable } from "/page/table.js";
import { Viewer } from "/page/viewer.js";

const service = new Service(() => element("token").value.trim());
const viewer = new Viewer({
  window: element("view"),
  under: element("under"),
  over: element("over"),
  divider: element("divider"),
  scaleText: element("scale"),
});

let settings = { token: false, package: null, formats: [], models: [] };
let image = null; // {file, name, url, width, height}: the original as it was chosen
let beside = new Map(); // tab → {url, original, bytes}: what can be seen beside the original
let tab = "cotam";
let table = null; // what was compared: {rows, words, count, …}
let shrunk = null; // address of the original at the size at which formats are compared, if that is smaller
let running = null; // AbortController of the work that will show
let coded = null; // {file, isLocal}: the .cotam file of what is shown, and whether the page made it
let latest = null; // address of what was chosen last, while it loads
let objects = []; // addresses of blobs that go with the image

function say(text, isError = false) {
  element("status").textContent = text;
  element("status").classList.toggle("error", isError);
}

// Shows progress, but keeps the error of a file that could not be opened until the next file or other settings.
const progress = (text) => element("status").classList.contains("error") || say(text);

// Coding

async function take(file, name) {
  if (await open(file, name)) refresh();
}

// Shows an image; says whether this browser can.
async function open(file, name) {
  const url = URL.createObjectURL(file);
  latest = url;
  const size = await sizeOf(url);
  if (!size || latest !== url) {
    URL.revokeObjectURL(url);
    if (!size) say(`This browser cannot open ${name}: choose a JPEG, PNG, WebP, GIF or AVIF image`, true);
    if (latest === url) latest = null;
    return false;
  }
  running?.abort();
  objects.splice(0).forEach((old) => URL.revokeObjectURL(old));
  objects.push(url);
  image = { file, name, url, width: size[0], height: size[1] };
  element("name").textContent = `${name}, ${size.join(" × ")}, ${kilobytes(file.size)}`;
  for (const id of ["result", "compared", "ask", "answers"]) element(id).hidden = true; // what they say is of another image
  for (const sample of element("samples").children) {
    sample.setAttribute("aria-pressed", String(sample.dataset.name === name));
  }
  beside = new Map();
  tag("over", "Original", file.size);
  tag("under");
  enableTabs();
  await viewer.open(url, size);
  return true;
}

async function sizeOf(url) {
  const probe = new Image();
  probe.src = url;
  try {
    await probe.decode();
  } catch {
    return null;
  }
  return [probe.naturalWidth, probe.naturalHeight];
}

// Codes the image as the controls say, then compares, then reads words; whatever ran before is given up.
async function refresh() {
  if (!image) return;
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const options = { quality: Number(element("quality").value), model: element("for").value };
  try {
    const isGuest = settings.token && !element("token").value;
    if (isGuest && !service.isLocal) {
      say("This gateway asks for a token");
      return;
    }
    say("Encoding …");
    element("compared").classList.add("stale");
    const started = performance.now();
    const found = await service.code(image.file, options, signal);
    signal.throwIfAborted();
    showCoded(found, options, (performance.now() - started) / 1000);
    if (isGuest) {
      say("This gateway asks for a token, to compare formats and to ask a model");
      return;
    }
    if (element("ask").hidden) await listModels();
    await compare(options, signal);
    progress("");
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
  }
}

// Fills the table row by row: our own, those of other formats, then the words that are read in each.
async function compare(options, signal) {
  const show = () => {
    showTable(table, { formats: settings.formats, image, ownBytes: coded.isLocal ? coded.file.size : null });
  };
  progress("Measuring what a model sees …");
  const ours = await service.compare(image.file, options, signal);
  table = { ...ours, rows: [ours.row], count: 0 };
  addPanels(ours);
  show();
  for (const { name, title } of settings.formats) {
    progress(`Comparing with ${title} …`);
    const other = await service.compare(image.file, options, signal, name);
    table.rows.push(other.row);
    addPanels(other);
    show();
  }
  for (const row of ours.words ? table.rows : []) {
    progress(`Reading words in ${row.title} …`);
    const { count, share } = await service.compare(image.file, options, signal, `words/${row.name}`);
    if (!count) break; // the image has no text
    table.count = count;
    row.words = share;
    show();
  }
}

function showCoded({ file, url, width, height, isLocal }, { quality, model }, seconds) {
  coded = { file, isLocal };
  objects.push(url);
  const ratio = image.file.size / file.size;
  element("bytes").textContent = `${number.format(file.size)} bytes`;
  element("ratio").textContent =
    ratio > 1 ? `${ratio < 10 ? ratio.toFixed(1) : Math.round(ratio)}${NARROW}× smaller than the file` : "";
  const bpp = ((8 * file.size) / (width * height)).toFixed(2);
  const title = settings.models.find(({ name }) => name === model)?.title;
  element("facts").textContent =
    `${width} × ${height} pixels${title ? `, as ${title} sees them` : ""}; ${bpp} bits per pixel at quality ${quality}; ` +
    `${seconds.toFixed(1)} s ${isLocal ? "in this page" : "in the gateway"}`;
  element("download").href = URL.createObjectURL(file);
  objects.push(element("download").href);
  element("download").download = `${image.name.replace(/\.\w+$/, "")}.cotam`;
  element("result").hidden = false;
  beside.set("cotam", { url, original: image.url, bytes: file.size });
  enableTabs();
  if (tab === "cotam") look();
}

function addPanels({ panels, row }) {
  shrunk = panels.find(({ name }) => name === "original")?.url ?? (row.name === "cotam" ? null : shrunk);
  for (const { name, url } of panels) {
    const bytes = name === "importance" ? undefined : row.bytes;
    beside.set(name, { url, original: shrunk ?? image.url, bytes });
  }
  enableTabs();
  if (tab !== "cotam") look();
}

// What is seen beside the original

const TABS = () => [
  { name: "cotam", title: "CoTAM" },
  ...settings.formats,
  { name: "importance", title: "Importance" },
  { name: "human", title: "For people" },
];

function makeTabs() {
  const tabs = TABS().map(({ name, title }) => {
    const one = made("button", { type: "button", textContent: title, id: `tab-${name}` });
    one.setAttribute("role", "tab");
    one.setAttribute("aria-controls", "view");
    one.addEventListener("click", () => choose(name));
    return one;
  });
  element("tabs").replaceChildren(...tabs);
  choose("cotam");
}

function enableTabs() {
  for (const one of element("tabs").children) one.disabled = !beside.has(one.id.slice(4));
  if (!beside.has(tab) && beside.has("cotam")) choose("cotam");
}

function choose(name, focus = false) {
  tab = name;
  for (const one of element("tabs").children) {
    const isChosen = one.id === `tab-${name}`;
    one.setAttribute("aria-selected", String(isChosen));
    one.tabIndex = isChosen ? 0 : -1;
    if (isChosen && focus) one.focus();
  }
  element("view").setAttribute("aria-labelledby", `tab-${name}`);
  look();
}

function look() {
  const found = beside.get(tab);
  if (!found) return;
  const { title } = TABS().find(({ name }) => name === tab);
  element("over").alt = "The original";
  element("under").alt = `The image: ${title}`;
  tag("under", title, found.bytes);
  viewer.beside(found.url, found.original);
}

function tag(layer, title = "", bytes = undefined) {
  element(`tag-${layer}`).textContent = bytes === undefined ? title : `${title} · ${kilobytes(bytes)}`;
}

element("tabs").addEventListener("keydown", (event) => {
  const names = TABS().map(({ name }) => name).filter((name) => beside.has(name));
  const at = names.indexOf(tab);
  const steps = { ArrowRight: at + 1, ArrowLeft: at - 1 + names.length, Home: 0, End: names.length - 1 };
  if (!(event.key in steps)) return;
  event.preventDefault();
  choose(names[steps[event.key] % names.length], true);
});

element("in").addEventListener("click", () => viewer.zoom(1.5));
element("out").addEventListener("click", () => viewer.zoom(1 / 1.5));
element("fit").addEventListener("click", () => viewer.fit());
element("whole").addEventListener("click", () => viewer.whole());

// Asking

async function listModels() {
  try {
    const names = await service.models();
    const options = names.map((name) => made("option", { textContent: name, value: name }));
    element("model").replaceChildren(...options);
    element("ask").hidden = options.length === 0;
  } catch (error) {
    say(`No model to ask: ${error.message}`);
  }
}

async function ask(place, file) {
  const [answer, cost] = [element(`answer-${place}`), element(`cost-${place}`)];
  answer.textContent = "…";
  cost.textContent = `${kilobytes(file.size)} image`;
  answer.classList.remove("error");
  try {
    const { text, sent, seconds, tokens } = await service.ask(element("model").value, element("text").value, file);
    answer.textContent = text;
    cost.textContent =
      `${number.format(sent)} bytes sent, ${seconds.toFixed(1)} s` + (tokens ? `, ${number.format(tokens)} tokens` : "");
  } catch (error) {
    answer.textContent = error.message;
    answer.classList.add("error");
  }
}

element("question").addEventListener("submit", async (event) => {
  event.preventDefault();
  element("send").disabled = true;
  element("answers").hidden = false;
  await Promise.all([ask(0, image.file), ask(1, coded.file)]);
  element("send").disabled = false;
});

// Choosing

let waiting = 0;
element("quality").addEventListener("input", () => {
  element("quality-value").textContent = element("quality").value;
  clearTimeout(waiting);
  waiting = setTimeout(refresh, 300);
});
element("settings").addEventListener("submit", (event) => event.preventDefault());
for (const id of ["for", "token"]) element(id).addEventListener("change", refresh);

function takeFirst(files) {
  const [file] = files ?? [];
  if (file) take(file, file.name || "pasted image");
  element("file").value = ""; // else choosing the same file again fires no event
}

element("file").addEventListener("change", (event) => takeFirst(event.target.files));
addEventListener("paste", (event) => takeFirst(event.clipboardData.files));
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
for (const name of ["dragleave", "drop"]) addEventListener(name, () => document.body.classList.remove("dropping"));
addEventListener("drop", (event) => {
  event.preventDefault();
  takeFirst(event.dataTransfer.files);
});

async function fetched(name) {
  return (await fetch(`/page/${name}`)).blob();
}

for (const sample of element("samples").children) {
  sample.addEventListener("click", async () => take(await fetched(sample.dataset.name), sample.dataset.name));
}

settings = await service.settings();
for (const one of document.querySelectorAll(".token")) one.hidden = !settings.token;
element("for").append(
  ...settings.models.map(({ name, title }) => made("option", { value: name, textContent: `that ${title} sees` })),
);
makeTabs();
async function loadCodec() {
  try {
    await service.load(settings.package, (part) => {
      if (!running) say(`Loading the codec … ${Math.round(100 * part)}${NARROW}%`);
    });
  } catch (error) {
    console.warn("the gateway encodes in place of the page:", error);
  }
}

const { name } = element("samples").children[0].dataset;
const sample = await fetched(name);
if (!latest) await open(sample, name); // who was quicker sees their own image
const loading = settings.package ? loadCodec() : null;
if (settings.token) await loading; // the page itself needs none
refresh();
