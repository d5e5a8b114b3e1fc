// What the page asks of the gateway, and of the package cotam where the gateway serves it.

export class Service {
  #token;
  #package = null; // the package, once it is loaded

  constructor(token) {
    this.#token = token;
  }

  // What the gateway has: {token, package, formats, models}.
  async settings() {
    return read(await fetch("/page/settings.json"));
  }

  // `onProgress` is told which part of the package is there, 0 to 1.
  async load(address, onProgress) {
    const found = await import(address);
    await found.load({ onProgress: ({ loaded, total }) => onProgress(loaded / total) });
    this.#package = found;
  }

  // Whether images are encoded and decoded in the page.
  get isLocal() {
    return this.#package !== null;
  }

  // A file → {file, url, width, height, isLocal}: its .cotam file, the address of what a decoder makes of that, and
  // whether both were made in the page.
  async code(image, { quality, model }, signal) {
    if (this.#package) return this.#codeHere(image, { quality, model }, signal);
    const query = new URLSearchParams({ quality, ...(model && { for: model }) });
    const answer = await this.#post(`/v1/cotam/encode?${query}`, image, signal);
    if (!answer.ok) await read(answer);
    const [width, height] = answer.headers.get("X-Cotam-Size").split("x").map(Number);
    const file = await answer.blob();
    const decoded = await this.#post("/v1/cotam/decode", file, signal);
    if (!decoded.ok) await read(decoded);
    return { file, url: URL.createObjectURL(await decoded.blob()), width, height, isLocal: false };
  }

  async #codeHere(image, { quality, model }, signal) {
    const { encode, decode } = this.#package;
    const bytes = await encode(image, { quality, signal, ...(model && { for: model }) });
    const { data, width, height } = await decode(bytes, { signal });
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
    const url = URL.createObjectURL(await canvas.convertToBlob());
    return { file: new Blob([bytes], { type: "image/vnd.cotam" }), url, width, height, isLocal: true };
  }

  // What /v1/cotam/compare says; `of` is a format, or words, and the codec itself without it.
  async compare(image, { quality, model }, signal, of = "") {
    const query = new URLSearchParams({ quality, ...(model && { for: model }) });
    return read(await this.#post(`/v1/cotam/compare${of && `/${of}`}?${query}`, image, signal));
  }

  // Names of the models that can be asked.
  async models() {
    const { data } = await read(await fetch("/v1/models", { headers: this.#headers() }));
    return data.map(({ id }) => id);
  }

  // A question about an image → {text, sent, seconds, tokens}.
  async ask(model, question, image) {
    const content = [
      { type: "text", text: question },
      { type: "image_url", image_url: { url: await dataUrl(image) } },
    ];
    const body = JSON.stringify({ model, messages: [{ role: "user", content }] });
    const headers = { "Content-Type": "application/json", ...this.#headers() };
    const started = performance.now();
    const answer = await read(await fetch("/v1/chat/completions", { method: "POST", body, headers }));
    return {
      text: answer.choices[0].message.content,
      sent: body.length,
      seconds: (performance.now() - started) / 1000,
      tokens: answer.usage?.prompt_tokens,
    };
  }

  #headers() {
    const token = this.#token();
    return token ? { "X-Cotam-Token": token } : {};
  }

  #post(path, body, signal) {
    return fetch(path, { method: "POST", body, headers: this.#headers(), signal });
  }
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

function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(blob);
  });
}
