// What browser.test.mjs does in a page.
import * as cotam from "/js/dist/browser.js";
import { mutated } from "./mutations.mjs";
import { difference, picture } from "./pictures.mjs";

async function bytes(url) {
  return new Uint8Array(await (await fetch(url)).arrayBuffer());
}

/** All that is told of the progress of loading. */
export async function loaded() {
  const seen = [];
  await cotam.load({ onProgress: (progress) => seen.push(progress) });
  return seen;
}

/** CRC-32 of the symbols of a file. */
export async function symbols(url, set) {
  const { codecOf, crcOf } = await import("./symbols.mjs");
  const { readFile } = await import("../dist/format/header.js");
  const [found] = await (await codecOf(set, bytes)).decodeSymbols(readFile(await bytes(url)));
  return crcOf(found);
}

export async function decoded(url) {
  const { data, width, height } = await cotam.decode(await bytes(url));
  if (data.length !== 4 * width * height) throw new Error(`${data.length} bytes`);
  return [width, height];
}

/** How far each frame of a file is from the pixels beside it. */
export async function compared(url, view, earlier) {
  const file = await bytes(`${url}.cotam`);
  const rgb = await bytes(`${url}.rgb`);
  const found = [];
  const add = ({ data, width, height }) => {
    const size = 3 * width * height;
    found.push(difference(data, rgb.subarray(found.length * size, (found.length + 1) * size)));
  };
  if (cotam.info(file).kind !== "sequence") {
    add(await cotam.decode(file, { view, earlier: earlier ? [await bytes(earlier)] : [] }));
  } else {
    for await (const frame of cotam.decodeFrames(file, { view })) add(frame);
  }
  return found;
}

/** One image in every form that `encode` takes. */
export async function encodings(url, quality) {
  const blob = await (await fetch(url)).blob();
  const element = new Image();
  element.src = url;
  const bitmap = await createImageBitmap(blob);
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const imageData = context.getImageData(0, 0, bitmap.width, bitmap.height);
  const { data, width, height } = imageData;
  const forms = { blob, element, bitmap, imageData, raw: { data: new Uint8Array(data), width, height } };
  const found = {};
  for (const [form, image] of Object.entries(forms)) found[form] = [...(await cotam.encode(image, { quality }))];
  if (bitmap.width !== width) throw new Error("the caller's bitmap was taken away");
  return found;
}

/** The middle pixel of an image of one colour in Display P3, once encoded and decoded. */
export async function decodedP3(colour) {
  const image = new ImageData(Uint8ClampedArray.from({ length: 4 * 64 * 64 }, (_, i) => colour[i % 4]), 64, 64, { colorSpace: "display-p3" });
  const { data } = await cotam.decode(await cotam.encode(image, { quality: 90 }));
  return [...data.subarray(4 * 2080, 4 * 2080 + 3)];
}

/** Sides of an image file once encoded. */
export async function encodedSize(file) {
  const { width, height } = cotam.info(await cotam.encode(new Blob([new Uint8Array(file)]), { quality: 5 }));
  return [width, height];
}

/**
 * Why encodings ended that are aborted after ten ticks of a timer: a page that does not respond has but one between
 * two of them. There are some in case that this page is held up until the first is over.
 */
export async function aborted() {
  const image = picture(800, 800);
  const controller = new AbortController();
  const { signal } = controller;
  let ticks = 0;
  const timer = setInterval(() => ++ticks === 10 && controller.abort(new Error("enough")), 10);
  let reason;
  for (let i = 0; i < 5; i++) reason ??= await cotam.encode(image, { signal }).then(() => undefined, (error) => error.message);
  clearInterval(timer);
  return reason;
}

export async function errors() {
  const file = await bytes("/js/build/fixtures/photo.cotam");
  const other = file.slice();
  const unknown = await bytes("/js/build/fixtures/levels.cotam");
  unknown[10] ^= 1;
  const { crc16 } = await import("../dist/format/checks.js");
  const { readHeader } = await import("../dist/format/header.js");
  const end = readHeader(await bytes("/js/build/fixtures/levels.cotam")).payloadStart - 2;
  new DataView(unknown.buffer).setUint16(end, crc16(unknown.subarray(0, end)), true);
  const foreign = new Image();
  foreign.src = `http://localhost:${location.port}/js/build/fixtures/photo.png`;
  const broken = new Image();
  broken.src = "data:image/png;base64,AAAA";
  const jobs = [
    () => cotam.decode(other.fill(7)),
    () => cotam.decode(file.slice(0, -1)),
    () => cotam.encode(new Blob(["no image"], { type: "image/png" })),
    () => cotam.encode(document.body),
    () => cotam.decode(unknown),
    () => cotam.encode(foreign),
    () => cotam.encode(broken),
  ];
  const found = [];
  for (const job of jobs) {
    const error = await job().catch((error) => error);
    found.push(error instanceof cotam.CotamError ? error.name : String(error));
  }
  return found;
}

/** What encoding comes to with the package under a Content Security Policy. */
export async function encodedUnder(policy) {
  const { encode } = await import(`/${policy}/js/dist/browser.js`);
  return encode(picture(8, 8)).then((file) => `${file.length} bytes`, String);
}

/** What encoding says in a service worker. */
export async function encodedInServiceWorker() {
  const registration = await navigator.serviceWorker.register("/js/test/service_worker.mjs", { type: "module" });
  const { port1, port2 } = new MessageChannel();
  (registration.installing ?? registration.active).postMessage(null, [port2]);
  const { data } = await new Promise((resolve) => (port1.onmessage = resolve));
  await registration.unregister();
  return data;
}

/** What encoding says of a package from another origin, whose worker a page must not start. */
export async function foreignPackage() {
  const foreign = await import(`http://localhost:${location.port}/js/dist/browser.js`);
  const error = await foreign.encode(picture(8, 8)).catch((error) => error);
  return [error instanceof foreign.CotamError, error.message];
}

/**
 * Decode damaged files `from` … `to`.
 *
 * @returns what they came to, errors that are not of this package, the longest time that one took, and the memory of
 *   page and worker in MB afterwards
 */
export async function mutations(names, from, to) {
  const files = await Promise.all(names.map((name) => bytes(`/js/build/fixtures/${name}.cotam`)));
  const earlier = [await bytes("/js/build/fixtures/photo.cotam")];
  const outcomes = {};
  const others = [];
  let slowest = 0;
  for (let number = from; number < to; number++) {
    const which = number % names.length;
    const start = performance.now();
    let outcome = "image";
    try {
      await cotam.decode(mutated(files[which], number).data, { earlier });
    } catch (error) {
      outcome = error.name;
      if (!(error instanceof cotam.CotamError)) others.push(`${names[which]} ${number}: ${error}`);
    }
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    slowest = Math.max(slowest, performance.now() - start);
  }
  const { bytes: used } = await performance.measureUserAgentSpecificMemory();
  return { outcomes, others, slowest, memory: Math.round(used / 1e6) };
}
