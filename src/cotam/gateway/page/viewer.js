// Two images of one scene, one over the other: a divider between them, zoom, and panning.

const STEP = 1.5; // of zoom
const MOST = 16; // screen pixels for a pixel of the image
const ENLARGED = 4; // by which a small image is enlarged to fit

export class Viewer {
  #window;
  #layers; // under and over
  #divider;
  #scaleText;
  #size = [1, 1]; // pixels of the original
  #scale = null; // screen pixels for a pixel; null fits the window
  #at = [0, 0]; // of the image's corner in the window
  #split = 0.5; // part of the window's width that shows the original
  #pointers = new Map();
  #drag = null;

  constructor({ window, under, over, divider, scaleText }) {
    this.#window = window;
    this.#layers = [under, over];
    this.#divider = divider;
    this.#scaleText = scaleText;
    new ResizeObserver(() => this.#draw()).observe(window);
    for (const [name, act] of Object.entries({
      pointerdown: this.#down,
      pointermove: this.#move,
      pointerup: this.#up,
      pointercancel: this.#up,
      wheel: this.#wheel,
      dblclick: this.#twice,
      keydown: this.#key,
    })) {
      window.addEventListener(name, act.bind(this), { passive: false });
    }
  }

  // Shows a new scene, `size` pixels large, without anything beside it yet.
  async open(url, size) {
    this.#size = size;
    this.#scale = null;
    this.#window.style.aspectRatio = size.join(" / ");
    this.#divider.hidden = true;
    this.#layers[0].removeAttribute("src");
    await replace(this.#layers[1], url);
    this.#draw();
  }

  // Shows an image beside the original; `original` is its address.
  async beside(url, original) {
    await Promise.all([replace(this.#layers[0], url), replace(this.#layers[1], original)]);
    this.#divider.hidden = false;
    this.#draw();
  }

  zoom(times, point = this.#middle()) {
    this.#zoomTo(this.#shownScale() * times, point);
  }

  fit() {
    this.#scale = null;
    this.#draw();
  }

  whole(point = this.#middle()) {
    this.#zoomTo(1, point);
  }

  #middle() {
    return [this.#window.clientWidth / 2, this.#window.clientHeight / 2];
  }

  #fitScale() {
    const [width, height] = this.#size;
    return Math.min(this.#window.clientWidth / width, this.#window.clientHeight / height, ENLARGED);
  }

  // Whether there is more of the image than the window shows.
  #isZoomed() {
    return this.#shownScale() > this.#fitScale();
  }

  #shownScale() {
    return this.#scale ?? this.#fitScale();
  }

  // The pixel under `point`, of the window, stays there.
  #zoomTo(scale, point) {
    const before = this.#shownScale();
    const fit = this.#fitScale();
    const next = Math.min(MOST, Math.max(scale, Math.min(1, fit)));
    this.#scale = next === fit ? null : next;
    const ratio = this.#shownScale() / before;
    this.#at = this.#at.map((at, axis) => point[axis] - (point[axis] - at) * ratio);
    this.#draw();
  }

  #draw() {
    const scale = this.#shownScale();
    const room = [this.#window.clientWidth, this.#window.clientHeight];
    const shown = this.#size.map((side) => side * scale);
    this.#at = shown.map((side, axis) => {
      const free = room[axis] - side;
      return free >= 0 ? free / 2 : Math.min(0, Math.max(free, this.#at[axis]));
    });
    const [x, y] = this.#at;
    for (const layer of this.#layers) {
      layer.style.width = `${shown[0]}px`;
      layer.style.height = `${shown[1]}px`;
      layer.style.transform = `translate(${x}px, ${y}px)`;
      layer.style.imageRendering = scale >= 3 ? "pixelated" : "auto";
    }
    // The divider stays within the image, so that both sides can be had whole.
    const left = Math.max(0, x);
    const width = Math.min(room[0], x + shown[0]) - left;
    const divider = left + this.#split * width;
    const hidden = this.#divider.hidden ? 0 : Math.max(0, shown[0] - (divider - x));
    this.#layers[1].style.clipPath = `inset(0 ${hidden}px 0 0)`;
    this.#divider.style.transform = `translate(${divider}px, ${Math.max(0, y)}px)`;
    this.#divider.style.height = `${Math.min(room[1], y + shown[1]) - Math.max(0, y)}px`;
    this.#divider.setAttribute("aria-valuenow", Math.round(100 * this.#split));
    this.#divider.setAttribute("aria-valuetext", `${Math.round(100 * this.#split)} % original`);
    this.#window.classList.toggle("zoomed", this.#isZoomed());
    this.#scaleText.textContent = `${Math.round(100 * scale)} %`;
    this.#range = [left, width];
  }

  #range = [0, 1]; // of the window that the image covers: left, width

  #splitAt(x) {
    this.#split = Math.min(1, Math.max(0, (x - this.#range[0]) / this.#range[1]));
    this.#draw();
  }

  #place(event) {
    const box = this.#window.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #down(event) {
    if (event.button) return;
    const place = this.#place(event);
    this.#pointers.set(event.pointerId, place);
    const onDivider = event.target === this.#divider;
    this.#drag = onDivider || !this.#isZoomed() ? "divider" : "image";
    this.#window.setPointerCapture(event.pointerId);
    if (onDivider) this.#divider.focus({ preventScroll: true });
    else if (this.#drag === "divider" && event.pointerType === "mouse") this.#splitAt(place[0]);
    event.preventDefault();
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const place = this.#place(event);
    this.#pointers.set(event.pointerId, place);
    if (this.#pointers.size === 2) {
      const [other] = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
      this.zoom(apart(place) / apart(before), other);
    } else if (this.#drag === "image") {
      this.#at = this.#at.map((at, axis) => at + place[axis] - before[axis]);
      this.#draw();
    } else {
      this.#splitAt(place[0]);
    }
  }

  #up(event) {
    this.#pointers.delete(event.pointerId);
  }

  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / 200), this.#place(event));
  }

  #twice(event) {
    if (this.#isZoomed()) this.fit();
    else if (this.#fitScale() < 1) this.whole(this.#place(event));
    else this.zoom(3, this.#place(event));
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = { "+": () => this.zoom(STEP), "=": () => this.zoom(STEP), "-": () => this.zoom(1 / STEP) };
    Object.assign(acts, { 0: () => this.fit(), 1: () => this.whole() });
    const { key } = event;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    if (event.target === this.#divider) {
      if (step) this.#split = Math.min(1, Math.max(0, this.#split + (step[0] - step[1]) / 50));
      else if (key === "Home" || key === "End") this.#split = Number(key === "End");
    } else if (step && this.#isZoomed()) {
      this.#at = this.#at.map((at, axis) => at - 40 * step[axis]);
    } else if (step) {
      return; // nothing to pan: the page scrolls
    }
    if (!step && key !== "Home" && key !== "End" && !(key in acts)) return;
    event.preventDefault();
    acts[key]?.();
    this.#draw();
  }
}

const wanted = new WeakMap(); // layer → address

// Loads first, so that the old image stays until the new one is there.
async function replace(layer, url) {
  wanted.set(layer, url);
  if (layer.src === url) return;
  const next = new Image();
  next.src = url;
  await next.decode();
  if (wanted.get(layer) === url) layer.src = url;
}
