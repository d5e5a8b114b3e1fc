// What browser.test.mjs does in a service worker.
import { encode } from "/js/dist/browser.js";
import { picture } from "./pictures.mjs";

addEventListener("message", async ({ ports: [port] }) => {
  port.postMessage(await encode(picture(8, 8)).then((file) => `${file.length} bytes`, String));
});
