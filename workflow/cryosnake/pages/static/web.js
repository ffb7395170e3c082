// The dashboard: parts of a page that change with the project, paths to copy, micrographs to move in, bars to choose from.

// --- parts that change -------------------------------------------------------------------------------------------

const body = document.body;

function concerns(changed) {
  const wanted = body.dataset.depends;
  if (wanted === "none") return false;  // a form, which must not change under the hand
  return wanted === "*" || changed.includes("*") || changed.includes("project") || changed.includes(wanted);
}

const partsOf = page => new Map([...page.querySelectorAll("[data-part]")].map(part => [part.dataset.part, part]));
const asMade = new Map([...partsOf(document)].map(([name, part]) => [name, part.outerHTML]));

// Load the page again, and replace the parts whose HTML is another one; scrolled logs stay at their ends.
async function refresh() {
  const answer = await fetch(location.href, {headers: {Accept: "text/html"}});
  if (!answer.ok) return say(`This page can't be loaded again (${answer.status}).`);
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const old = partsOf(document), now = partsOf(fresh);
  if ([...old.keys()].join() !== [...now.keys()].join()) return replaceAll(fresh);
  for (const [name, part] of now) {
    if (asMade.get(name) === part.outerHTML) continue;
    asMade.set(name, part.outerHTML);
    exchange(old.get(name), document.adoptNode(part));
  }
}

function replaceAll(fresh) {
  for (const [name, part] of partsOf(fresh)) asMade.set(name, part.outerHTML);
  exchange(document.querySelector("main"), document.adoptNode(fresh.querySelector("main")));
  exchange(document.querySelector("nav [data-part]"), document.adoptNode(fresh.querySelector("nav [data-part]")));
}

function exchange(old, part) {
  if (!old || !part) return;
  const open = new Set([...old.querySelectorAll("details[open] > summary")].map(summary => summary.textContent));
  part.querySelectorAll("details").forEach(one => { one.open = open.has(one.querySelector("summary").textContent); });
  old.replaceWith(part);
  whenSeen(part.querySelectorAll(".map"), showMap);
  begin(part);
}

function begin(part) {
  part.querySelectorAll(".log").forEach(log => { log.scrollTop = log.scrollHeight; });
}

// --- events ------------------------------------------------------------------------------------------------------

function say(words) {
  const line = document.getElementById("live");
  line.hidden = !words;
  line.textContent = words;
}

let waiting = 0;
function refreshSoon() {
  clearTimeout(waiting);
  waiting = setTimeout(() => refresh().catch(error => say(`This page can't be loaded again: ${error.message}.`)), 300);
}

if (body.dataset.events) {
  const events = new EventSource(body.dataset.events);
  events.addEventListener("open", () => say(""));
  events.addEventListener("error", () => say("No word from the server: this page may be out of date."));
  events.addEventListener("changed", event => { if (concerns(JSON.parse(event.data))) refreshSoon(); });
}

// --- paths -------------------------------------------------------------------------------------------------------

document.addEventListener("click", async event => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "copied";
  } catch {
    prompt("The path:", button.dataset.copy);
  }
});

// --- micrographs -------------------------------------------------------------------------------------------------

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

// --- bars: a range of one column ---------------------------------------------------------------------------------

class Brush {
  constructor(area) {
    this.area = area;
    this.svg = area.querySelector(".chart > svg");
    this.axis = scaleOf(area.querySelector(".chart").dataset.x);
    this.svg.addEventListener("pointerdown", event => { this.from = this.place(event); this.svg.setPointerCapture(event.pointerId); });
    this.svg.addEventListener("pointermove", event => { if (this.from !== undefined) this.draw(this.place(event)); });
    this.svg.addEventListener("pointerup", event => this.choose(this.place(event)));
  }

  place(event) {
    const frame = this.svg.getBoundingClientRect();
    const at = (event.clientX - frame.left) / frame.width * this.svg.viewBox.baseVal.width;
    return Math.min(Math.max(at, this.axis.start), this.axis.end);
  }

  draw(to) {
    if (!this.band) {
      this.band = this.svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "rect"));
      this.band.setAttribute("class", "chosen");
    }
    const given = {x: Math.min(this.from, to), y: 14, width: Math.abs(to - this.from), height: 208};
    for (const [name, value] of Object.entries(given)) this.band.setAttribute(name, value);
  }

  choose(to) {
    const [low, high] = [this.from, to].sort((a, b) => a - b).map(at => this.axis.value(at));
    const far = Math.abs(to - this.from) > 5;
    this.from = undefined;
    if (!far) return;
    const form = document.querySelector(".filter");
    form.elements.column.value = this.area.dataset.column;
    form.elements.low.value = low.toPrecision(5);
    form.elements.high.value = high.toPrecision(5);
    form.requestSubmit();
  }
}

// --- choosing classes --------------------------------------------------------------------------------------------

class Chooser {
  constructor(form) {
    this.form = form;
    this.list = form.querySelector(".gallery");
    form.querySelector(".order").addEventListener("change", event => this.sort(event.target.value));
    form.querySelectorAll("[data-choose]").forEach(button => button.addEventListener("click", () => this.choose(button.dataset.choose)));
    this.list.addEventListener("click", event => this.range(event));
    this.list.addEventListener("change", () => this.sum());
    this.sum();
  }

  boxes() { return [...this.list.querySelectorAll("input")].filter(box => !box.disabled); }

  value(box, name) { return Number(box.closest("li").dataset[name]); }

  sort(name) {
    const up = name === "number" || name === "resolution" ? 1 : -1;
    const place = one => Number.isNaN(Number(one.dataset[name])) ? Infinity : up * Number(one.dataset[name]);
    this.list.append(...[...this.list.children].sort((a, b) => place(a) - place(b)));
  }

  choose(which) {
    const good = Number(this.form.dataset.good);
    const wanted = {all: () => true, none: () => false, invert: box => !box.checked, good: box => this.value(box, "score") >= good}[which];
    this.boxes().forEach(box => { box.checked = wanted(box); });
    this.sum();
  }

  // With Shift, all from the last one on are as that one.
  range(event) {
    if (!event.target.matches("input")) return;
    const boxes = this.boxes(), now = boxes.indexOf(event.target);
    if (event.shiftKey && this.last !== undefined) {
      const [first, end] = [this.last, now].sort((a, b) => a - b);
      boxes.slice(first, end + 1).forEach(box => { box.checked = event.target.checked; });
      this.sum();
    }
    this.last = now;
  }

  sum() {
    const chosen = this.boxes().filter(box => box.checked);
    const share = chosen.reduce((sum, box) => sum + this.value(box, "share"), 0);
    const numbers = chosen.map(box => Number(box.value)).sort((a, b) => a - b).join();
    this.form.querySelector(".sum").value = `${chosen.length} of ${this.list.children.length} classes`
      + (Number.isNaN(share) ? "" : `, ${(100 * share).toFixed(1)} % of the particles`);
    this.form.querySelector(".command").textContent = `cryosnake choose ${this.form.dataset.job} --classes ${numbers || "N,N"}`;
  }
}

document.querySelectorAll("form.choose").forEach(form => new Chooser(form));

document.querySelectorAll(".brush").forEach(area => new Brush(area));
begin(document);
