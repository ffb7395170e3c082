// Values under the pointer or the arrow keys, maps when they come into view, and where one is in the page.

const NUMBERS = new Intl.NumberFormat("en", {maximumSignificantDigits: 4});

function scaleOf(text) {
  const [low, high, start, end] = text.split(" ").map(Number);
  return {value: px => low + (px - start) / (end - start) * (high - low), start, end};
}

class ChartReader {
  constructor(figure) {
    this.figure = figure;
    this.svg = figure.querySelector("svg");
    this.x = scaleOf(figure.dataset.x);
    this.y = scaleOf(figure.dataset.y);
    this.series = [...this.svg.querySelectorAll("polyline")].map(line => ({
      name: line.dataset.name,
      points: line.getAttribute("points").split(" ").filter(Boolean).map(pair => pair.split(",").map(Number))}))
      .filter(series => series.points.length);
    this.named = this.series.filter(series => series.name);
    if (!this.named.length) this.named = this.series.slice(0, 1);
    this.svg.addEventListener("pointermove", event => this.showAt(this.toDrawing(event.clientX)));
    figure.addEventListener("pointerleave", () => this.hide());
    figure.addEventListener("blur", () => this.hide());
    figure.addEventListener("keydown", event => this.step(event));
  }

  toDrawing(clientX) {
    const frame = this.svg.getBoundingClientRect();
    return (clientX - frame.left) / frame.width * this.svg.viewBox.baseVal.width;
  }

  step(event) {
    const move = {ArrowLeft: -1, ArrowRight: 1}[event.key], longest = this.longest();
    if (!move || !longest.length) return;
    event.preventDefault();
    this.index = Math.min(longest.length - 1, Math.max(0, this.index === undefined ? 0 : this.index + move));
    this.showAt(longest[this.index][0]);
  }

  longest() {
    return this.named.reduce((most, series) => series.points.length > most.length ? series.points : most, []);
  }

  showAt(px) {
    const nearest = points => points.reduce((best, point) => Math.abs(point[0] - px) < Math.abs(best[0] - px) ? point : best);
    if (!this.named.length) return;
    const [at] = nearest(this.longest());
    const value = this.x.value(at);
    const place = this.figure.dataset.kind === "resolution" ? `${(1 / value).toFixed(2)} Å`
      : `${this.figure.dataset.label.split(",")[0]} ${NUMBERS.format(value)}`;
    const lines = this.named.map(series => [series.name, nearest(series.points)])
      .filter(([, point]) => Math.abs(point[0] - at) < 6)
      .map(([name, point]) => `${name ? name + " " : ""}${NUMBERS.format(this.y.value(point[1]))}`);
    this.show(at, place, lines);
  }

  show(at, place, lines) {
    if (!this.tip) {
      this.tip = this.figure.appendChild(document.createElement("div"));
      this.tip.className = "tip";
      this.tip.setAttribute("role", "status");
      this.cursor = this.svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "line"));
      this.cursor.setAttribute("class", "cursor");
      this.cursor.setAttribute("y1", this.y.start);
      this.cursor.setAttribute("y2", this.y.end);
    }
    this.cursor.setAttribute("x1", at);
    this.cursor.setAttribute("x2", at);
    this.cursor.style.display = this.tip.style.display = "";
    const head = document.createElement("b");
    head.textContent = place;
    this.tip.replaceChildren(head, ...lines.map(text => {
      const line = document.createElement("div");
      line.textContent = text;
      return line;
    }));
    const frame = this.svg.getBoundingClientRect(), outer = this.figure.getBoundingClientRect();
    const left = frame.left - outer.left + at / this.svg.viewBox.baseVal.width * frame.width;
    this.tip.style.top = `${frame.top - outer.top + 8}px`;
    const right = left + 14 + this.tip.offsetWidth > outer.width;
    this.tip.style.left = `${Math.max(0, right ? left - 14 - this.tip.offsetWidth : left + 14)}px`;
  }

  hide() {
    this.index = undefined;
    if (this.tip) this.cursor.style.display = this.tip.style.display = "none";
  }
}

const whenSeen = (elements, act) => {
  const watch = new IntersectionObserver(entries => entries.filter(entry => entry.isIntersecting).forEach(entry => {
    watch.unobserve(entry.target);
    act(entry.target);
  }), {rootMargin: "200px"});
  elements.forEach(element => watch.observe(element));
};

for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, event => {  // before the first move
  const figure = event.target.closest(".chart");
  if (figure && !figure.reader) figure.reader = new ChartReader(figure);
});
whenSeen(document.querySelectorAll(".map"), showMap);

const links = new Map([...document.querySelectorAll("nav a")].map(link => [link.hash.slice(1), link]));
const here = new IntersectionObserver(entries => entries.filter(entry => entry.isIntersecting).forEach(entry => {
  links.forEach(link => link.classList.remove("here"));
  links.get(entry.target.id).classList.add("here");
}), {rootMargin: "0px 0px -75% 0px"});
document.querySelectorAll("main [id]").forEach(part => { if (links.has(part.id)) here.observe(part); });

addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(part => { part.open = true; }));
