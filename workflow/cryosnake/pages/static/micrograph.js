// A micrograph to move in.

class MicrographViewer {
  constructor(figure) {
    this.figure = figure;
    this.svg = figure.querySelector("svg");
    [this.width, this.height] = [figure.dataset.width, figure.dataset.height].map(Number);
    this.view = [0, 0, this.width, this.height];
    this.svg.addEventListener("wheel", event => this.wheel(event), {passive: false});
    this.svg.addEventListener("pointerdown", event => { this.held = [event.clientX, event.clientY]; this.svg.setPointerCapture(event.pointerId); });
    this.svg.addEventListener("pointermove", event => this.drag(event));
    this.svg.addEventListener("pointerup", () => { this.held = undefined; });
    this.svg.addEventListener("keydown", event => this.key(event));
  }

  scale() { return this.view[2] / this.svg.getBoundingClientRect().width; }

  wheel(event) {
    event.preventDefault();
    const frame = this.svg.getBoundingClientRect();
    this.zoom(event.deltaY < 0 ? 0.8 : 1.25, (event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height);
  }

  zoom(factor, x = 0.5, y = 0.5) {
    const [left, top, width, height] = this.view;
    const limited = Math.min(Math.max(width * factor, 40), 2 * this.width) / width;
    this.show([left + x * width * (1 - limited), top + y * height * (1 - limited), width * limited, height * limited]);
  }

  drag(event) {
    if (!this.held) return;
    const scale = this.scale();
    this.move((this.held[0] - event.clientX) * scale, (this.held[1] - event.clientY) * scale);
    this.held = [event.clientX, event.clientY];
  }

  move(x, y) { this.show([this.view[0] + x, this.view[1] + y, this.view[2], this.view[3]]); }

  key(event) {
    const step = 0.15 * this.view[2];
    const act = {"+": () => this.zoom(0.8), "-": () => this.zoom(1.25), "0": () => this.show([0, 0, this.width, this.height]),
      ArrowLeft: () => this.move(-step, 0), ArrowRight: () => this.move(step, 0), ArrowUp: () => this.move(0, -step),
      ArrowDown: () => this.move(0, step)}[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  show(view) {
    this.view = view;
    this.svg.setAttribute("viewBox", view.join(" "));
    clearTimeout(this.wait);
    this.wait = setTimeout(() => this.sharpen(), 200);
  }

  // Lay a finer picture of what is seen over the one of the whole micrograph.
  sharpen() {
    const left = Math.max(0, Math.floor(this.view[0])), top = Math.max(0, Math.floor(this.view[1]));
    const width = Math.min(this.width - left, Math.ceil(this.view[2])), height = Math.min(this.height - top, Math.ceil(this.view[3]));
    this.svg.querySelector(".fine")?.remove();
    if (width <= 0 || height <= 0 || Math.max(width, height) > 0.7 * Math.max(this.width, this.height)) return;
    const whole = this.svg.querySelector(".whole"), fine = whole.cloneNode();
    const address = new URL(whole.getAttribute("href"), location.href);
    address.searchParams.set("region", [left, top, width, height].join());
    for (const [name, value] of Object.entries({class: "fine", href: address, x: left, y: top, width, height})) fine.setAttribute(name, value);
    whole.after(fine);
  }
}

document.querySelectorAll(".micrograph").forEach(figure => { figure.viewer = new MicrographViewer(figure); });
