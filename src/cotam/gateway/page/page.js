// The page at / of a gateway. Knows /v1/cotam/compare, /v1/models and /v1/chat/completions, and nothing elsewhere.

const element = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");

let image = null; // the file as it was chosen
let found = null; // what /v1/cotam/compare says of it, and which file it was
let running = null; // AbortController of the request that will show
let panel = "cotam"; // name of the panel that is shown

function headers() {
  const token = element("token").value.trim();
  return token ? { "X-Cotam-Token": token } : {};
}

function say(text, isError = false) {
  element("status").textContent = text;
  element("status").classList.toggle("error", isError);
}

async function read(response) {
  const text = await response.text();
  let value = null;
  try {
    value = JSON.parse(text);
  } catch {
    // an error of something in between: its text says what it can
  }
  if (!response.ok) throw new Error(value?.error?.message ?? (text || `HTTP ${response.status}`));
  return value;
}

// Comparing

async function compare() {
  if (!image) return;
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  say("Encoding, and looking for where other codecs are as near …");
  const original = image;
  const options = { method: "POST", body: original, headers: headers(), signal };
  try {
    const answer = await fetch(`/v1/cotam/compare?quality=${element("quality").value}`, options);
    found = { original, ...(await read(answer)) };
  } catch (error) {
    if (error.name !== "AbortError") say(error.message, true);
    return;
  }
  say("");
  show();
  if (element("ask").hidden) await listModels();
}

function made(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

function show() {
  const [ours] = found.codecs;
  const part = (100 * ours.bytes) / found.upload;
  element("summary").replaceChildren(
    made("b", { textContent: `${number.format(ours.bytes)} bytes` }),
    ` at quality ${found.quality} (${ours.bpp.toFixed(3)} bits per pixel), shown at ${found.width}×${found.height}; ` +
      `your file has ${number.format(found.upload)} bytes` +
      (part < 100 ? ` (${part < 10 ? part.toFixed(1) : Math.round(part)}\u00a0% of it).` : "."),
  );
  showTabs();
  showMeasure();
  element("rows").replaceChildren(...found.codecs.map((codec) => row(codec, ours)));
  element("result").hidden = false;
}

function showMeasure() {
  const isFeatures = found.measure === "features";
  element("caption").textContent = `Other codecs at ${isFeatures ? "equal feature distance" : "equal PSNR"}`;
  element("unit").textContent = isFeatures ? "Distance" : "PSNR, dB";
  element("measure").replaceChildren(
    ...(isFeatures
      ? [
          "Distance from the original of what a vision encoder sees: DINOv2-S/14, tokens after layers 3, 6, 9 and 12, " +
            `the whole image reduced to ${found.seen.join("×")}. Cotam was tuned with this encoder: it is no neutral judge.`,
        ]
      : [
          "PSNR says little of what a model sees. To compare at equal feature distance, install where the gateway runs: ",
          made("code", { textContent: found.install }),
        ]),
  );
}

const ENDS = { lowest: " at the least", highest: " at its best" };

function row(codec, ours) {
  const line = made("tr", { className: codec === ours ? "ours" : "" });
  const value = found.measure === "features" ? codec.value.toPrecision(3) : (codec.value?.toFixed(1) ?? "∞");
  const cells = [
    number.format(codec.bytes) + (ENDS[codec.end] ?? ""),
    (codec.bytes / ours.bytes).toFixed(2),
    value,
  ];
  line.append(
    made("th", { textContent: codec.name, scope: "row" }),
    ...cells.map((textContent) => made("td", { textContent })),
  );
  return line;
}

function showTabs() {
  if (!found.panels.some(({ name }) => name === panel)) panel = found.panels[0].name;
  const tabs = found.panels.map(({ name, title }) => {
    const tab = made("button", { type: "button", textContent: title });
    tab.id = `tab-${name}`;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "view");
    tab.addEventListener("click", () => choose(name));
    return tab;
  });
  element("tabs").replaceChildren(...tabs);
  choose(panel);
}

function choose(name, focus = false) {
  panel = name;
  for (const tab of element("tabs").children) {
    const isChosen = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
    if (isChosen && focus) tab.focus();
  }
  const { title, url } = found.panels.find((one) => one.name === name);
  element("shown").src = url;
  element("shown").alt = `The image: ${title}`;
  element("view").setAttribute("aria-labelledby", `tab-${name}`);
}

element("tabs").addEventListener("keydown", (event) => {
  const names = found.panels.map(({ name }) => name);
  const at = names.indexOf(panel);
  const steps = { ArrowRight: at + 1, ArrowLeft: at - 1 + names.length, Home: 0, End: names.length - 1 };
  if (!(event.key in steps)) return;
  event.preventDefault();
  choose(names[steps[event.key] % names.length], true);
});

// Asking

async function listModels() {
  try {
    const { data } = await read(await fetch("/v1/models", { headers: headers() }));
    const options = data.map(({ id }) => made("option", { textContent: id, value: id }));
    element("model").replaceChildren(...options);
    element("ask").hidden = options.length === 0;
  } catch (error) {
    say(`No model to ask: ${error.message}`);
  }
}

async function ask(place, url) {
  const answer = element(`answer-${place}`);
  const body = JSON.stringify({
    model: element("model").value,
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: element("text").value },
          { type: "image_url", image_url: { url } },
        ],
      },
    ],
  });
  element(`cost-${place}`).textContent = `${number.format(body.length)} bytes sent`;
  answer.textContent = "…";
  answer.classList.remove("error");
  try {
    const options = { method: "POST", body, headers: { "Content-Type": "application/json", ...headers() } };
    const value = await read(await fetch("/v1/chat/completions", options));
    answer.textContent = value.choices[0].message.content;
  } catch (error) {
    answer.textContent = error.message;
    answer.classList.add("error");
  }
}

function asDataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
}

element("question").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter ?? element("question").querySelector("button");
  const { original, file } = found;
  button.disabled = true;
  await Promise.all([ask(0, await asDataUrl(original)), ask(1, file)]);
  button.disabled = false;
});

// Choosing

function take(file) {
  if (!file) return;
  image = file;
  for (const id of ["result", "ask"]) element(id).hidden = true; // what they say is of another image
  element("drop-text").textContent = `${file.name || "Pasted image"}, ${number.format(file.size)} bytes`;
  compare();
}

let waiting = 0;
element("quality").addEventListener("input", () => {
  element("quality-value").textContent = element("quality").value;
  clearTimeout(waiting);
  waiting = setTimeout(compare, 300);
});
element("token").addEventListener("change", compare);
element("file").addEventListener("change", (event) => take(event.target.files[0]));
document.addEventListener("paste", (event) => {
  const [file] = [...event.clipboardData.files].filter(({ type }) => type.startsWith("image/"));
  take(file);
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    element("drop").classList.add("over");
  });
}
for (const kind of ["dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    element("drop").classList.remove("over");
    if (kind === "drop") take(event.dataTransfer.files[0]);
  });
}
