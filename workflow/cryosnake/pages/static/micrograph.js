// A micrograph to move in. Its view is [left, top, width, height] in px of the micrograph, row 0 at the bottom.

class MicrographViewer {
  constructor(figure) {
    this.figure = figure;
    this.svg = figure.querySelector("svg");
    [this.width, this.height] = [figure.dataset.width, figure.dataset.height].map(Number);
    this.view = [0, 0, this.width, this.height];
    this.svg.addEventListener("wheel", event => this.wheel(event), {passive: false});
    this.svg.addEventListener("pointerdown", event => this.hold(event));
    this.svg.addEventListener("pointermove", event => this.drag(event));
    this.svg.addEventListener("pointerup", event => this.release(event));
    this.svg.addEventListener("keydown", event => this.key(event));
  }

  // Where a pointer is, in px of the micrograph as it is seen.
  place(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    return [at.x, at.y];
  }

  // Px of the micrograph in one of the window.
  scale() { return 1 / this.svg.getScreenCTM().a; }

  wheel(event) {
    event.preventDefault();
    this.zoom(event.deltaY < 0 ? 0.8 : 1.25, ...this.place(event));
  }

  middle() { return [this.view[0] + this.view[2] / 2, this.view[1] + this.view[3] / 2]; }

  zoom(factor, x = this.middle()[0], y = this.middle()[1]) {
    const [left, top, width, height] = this.view;
    const limited = Math.min(Math.max(width * factor, 40), 2 * this.width) / width;
    this.show([x - (x - left) * limited, y - (y - top) * limited, width * limited, height * limited]);
  }

  hold(event) {
    this.held = [event.clientX, event.clientY];
    this.svg.setPointerCapture(event.pointerId);
  }

  drag(event) {
    if (!this.held) return;
    const scale = this.scale();
    this.move((this.held[0] - event.clientX) * scale, (this.held[1] - event.clientY) * scale);
    this.held = [event.clientX, event.clientY];
  }

  release() { this.held = undefined; }

  move(x, y) { this.show([this.view[0] + x, this.view[1] + y, this.view[2], this.view[3]]); }

  all() { this.show([0, 0, this.width, this.height]); }

  key(event) {
    const step = 0.15 * this.view[2];
    const act = {"+": () => this.zoom(0.8), "-": () => this.zoom(1.25), "0": () => this.all(),
      ArrowLeft: () => this.move(-step, 0), ArrowRight: () => this.move(step, 0), ArrowUp: () => this.move(0, -step),
      ArrowDown: () => this.move(0, step)}[event.key];
    if (!act || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
  }

  show(view) {
    this.view = view;
    this.svg.setAttribute("viewBox", view.join(" "));
    this.sharpenSoon();
  }

  sharpenSoon() {
    clearTimeout(this.wait);
    this.wait = setTimeout(() => this.sharpen(), 200);
  }

  // What is seen of the micrograph: more than the view where the window has another shape.
  seen() {
    const frame = this.svg.getBoundingClientRect();
    const [left, top] = this.place({clientX: frame.left, clientY: frame.top});
    const [right, bottom] = this.place({clientX: frame.right, clientY: frame.bottom});
    return [Math.max(0, Math.floor(left)), Math.max(0, Math.floor(top)), Math.min(this.width, Math.ceil(right)), Math.min(this.height, Math.ceil(bottom))];
  }

  // Lay a finer picture of what is seen over the one of the whole micrograph.
  sharpen() {
    const [left, top, right, bottom] = this.seen(), width = right - left, height = bottom - top;
    this.svg.querySelector(".fine")?.remove();
    if (width <= 0 || height <= 0 || Math.max(width, height) > 0.7 * Math.max(this.width, this.height)) return;
    const whole = this.svg.querySelector(".whole"), fine = whole.cloneNode();
    const address = new URL(whole.getAttribute("href"), location.href);
    address.searchParams.set("region", [left, top, width, height].join());
    for (const [name, value] of Object.entries({class: "fine", href: address, x: left, y: top, width, height})) fine.setAttribute(name, value);
    whole.after(fine);
  }
}

document.querySelectorAll(".micrograph:not(.picking)").forEach(figure => { figure.viewer = new MicrographViewer(figure); });
