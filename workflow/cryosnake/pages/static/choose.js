// Choosing classes: by ticks, numbers, ranges, limits; one class larger.

// "1-5,8" as numbers; null where it is something else.
function numbersOf(text) {
  const words = text.split(/[\s,]+/).filter(word => word), found = new Set();
  for (const word of words) {
    const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(word);
    if (!range) return null;
    for (let number = Number(range[1]); number <= Number(range[2] || range[1]); number++) found.add(number);
  }
  return found;
}

class Chooser {
  constructor(form) {
    this.form = form;
    this.list = form.querySelector(".gallery");
    this.before = [];  // choices to go back to
    this.now = this.ticked();
    this.undo = form.querySelector("[data-choose=undo]");
    form.querySelector(".order").addEventListener("change", event => this.sort(event.target.value));
    form.querySelectorAll("[data-choose]").forEach(button => button.addEventListener("click", () => this.choose(button.dataset.choose)));
    form.querySelectorAll("[data-limit]").forEach(slider => {
      slider.addEventListener("input", () => this.propose(slider));
      this.say(slider);
    });
    form.querySelectorAll("[data-good]").forEach(button => button.addEventListener("click", () => this.good(button.dataset.good)));
    document.querySelectorAll("[data-classes]").forEach(link => link.addEventListener("click", event => {
      event.preventDefault();
      this.set(numbersOf(link.dataset.classes));
    }));
    const typed = form.querySelector(".typed");
    if (typed) typed.addEventListener("input", () => this.type(typed));
    this.list.addEventListener("click", event => this.range(event));
    this.list.addEventListener("change", () => this.changed());
    this.list.addEventListener("keydown", event => this.key(event));
    form.addEventListener("keydown", event => this.form_key(event));
    form.querySelectorAll(".set input").forEach(input => input.addEventListener("input", () => this.sum()));
    this.sum();
  }

  boxes() { return [...this.list.querySelectorAll("input")].filter(box => !box.disabled); }

  ticked() { return this.boxes().filter(box => box.checked).map(box => Number(box.value)).sort((a, b) => a - b); }

  value(box, name) { return Number(box.closest("li").dataset[name]); }

  sort(name) {
    const up = name === "number" || name === "resolution" ? 1 : -1;
    const place = one => Number.isNaN(Number(one.dataset[name])) ? Infinity : up * Number(one.dataset[name]);
    this.list.append(...[...this.list.children].sort((a, b) => place(a) - place(b)));
  }

  // Tick these and no others; `going_on` where it goes on with the last change, as a slider that moves does.
  set(numbers, going_on) {
    this.boxes().forEach(box => { box.checked = numbers.has(Number(box.value)); });
    this.changed(going_on);
  }

  changed(going_on) {
    const now = this.ticked();
    if (now.join() !== this.now.join()) {
      if (!going_on || this.going !== going_on) this.before.push(this.now);
      this.now = now;
    }
    this.going = going_on;
    this.sum();
  }

  choose(which) {
    if (which === "undo") return this.back();
    const ticked = new Set(this.ticked()), all = this.boxes().map(box => Number(box.value));
    this.set(new Set({all, none: [], invert: all.filter(number => !ticked.has(number))}[which]));
  }

  back() {
    const last = this.before.pop();
    if (!last) return;
    this.boxes().forEach(box => { box.checked = last.includes(Number(box.value)); });
    this.now = this.ticked();
    this.going = undefined;
    this.sum();
  }

  // --- proposals ---------------------------------------------------------------------------------------------------

  say(slider) {
    const resting = slider.value === slider.dataset.rest;
    slider.parentElement.querySelector("output").value = resting ? "any" : `${slider.value} ${slider.dataset.unit}`.trim();
  }

  // Those within all limits that were moved.
  propose(moved) {
    const limits = [...this.form.querySelectorAll("[data-limit]")].filter(slider => slider === moved || slider.value !== slider.dataset.rest);
    const within = (box, slider) => {
      const name = slider.dataset.limit, value = this.value(box, name), limit = Number(slider.value);
      return name === "resolution" ? value <= limit : name === "share" ? 100 * value >= limit : value >= limit;
    };
    this.say(moved);
    this.set(new Set(this.boxes().filter(box => limits.every(slider => within(box, slider))).map(box => Number(box.value))), moved);
  }

  good(score) {
    const slider = this.form.querySelector("[data-limit=score]");
    slider.value = score;
    this.propose(slider);
  }

  type(field) {
    const numbers = numbersOf(field.value);
    const known = new Set(this.boxes().map(box => Number(box.value)));
    const wrong = numbers === null ? "numbers with commas and ranges, as in 1-5,8"
      : [...numbers].some(number => !known.has(number)) ? `no class ${[...numbers].find(number => !known.has(number))} with particles` : "";
    field.setCustomValidity(wrong);
    field.title = wrong;
    if (!wrong && numbers.size) this.set(numbers, field);
  }

  // With Shift, all from the last one on are as that one.
  range(event) {
    if (!event.target.matches("input")) return;
    const boxes = this.boxes(), now = boxes.indexOf(event.target);
    if (event.shiftKey && this.last !== undefined) {
      const [first, end] = [this.last, now].sort((a, b) => a - b);
      boxes.slice(first, end + 1).forEach(box => { box.checked = event.target.checked; });
      this.changed();
    }
    this.last = now;
  }

  // --- keys --------------------------------------------------------------------------------------------------------

  key(event) {
    const boxes = this.boxes(), at = boxes.indexOf(event.target);
    if (at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "Enter") {
      event.preventDefault();  // and not sent off
      return this.closer && this.closer.open(event.target);
    }
    const to = {ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: boxes.length - 1}[event.key] ?? this.beside(boxes, at, event.key);
    if (to === undefined || !boxes[to]) return;
    event.preventDefault();
    boxes[to].focus();
    boxes[to].closest("li").scrollIntoView({block: "nearest"});
  }

  // The class above or below, in the row next to this one.
  beside(boxes, at, key) {
    const way = {ArrowUp: -1, ArrowDown: 1}[key];
    if (!way) return undefined;
    const places = boxes.map(box => box.closest("li").getBoundingClientRect()), here = places[at];
    const ahead = places.map((place, index) => ({index, down: way * (place.top - here.top), side: Math.abs(place.left - here.left)}))
      .filter(place => place.down > 4).sort((a, b) => a.down - b.down || a.side - b.side);
    return ahead.length ? ahead[0].index : undefined;
  }

  form_key(event) {
    if (event.key === "z" && (event.ctrlKey || event.metaKey) && !event.target.matches("[type=number], .typed")) {
      event.preventDefault();
      this.back();
    } else if (event.key === "Enter" && event.target.matches(".typed, [data-limit], .order")) {
      event.preventDefault();
    }
  }

  // --- what it comes to --------------------------------------------------------------------------------------------

  settings() {
    const recenter = this.form.querySelector("[name=recenter]"), regroup = this.form.querySelector("[name=regroup]");
    const words = [];
    if (recenter && String(recenter.checked) !== recenter.dataset.was) words.push(recenter.checked ? "--recenter" : "--no-recenter");
    if (regroup) {
      const groups = regroup.checked ? this.form.querySelector("[name=groups]").value : "0";
      if (groups !== regroup.dataset.was) words.push(`--regroup ${groups}`);
    }
    return words;
  }

  sum() {
    const chosen = this.boxes().filter(box => box.checked);
    const total = name => chosen.reduce((sum, box) => sum + this.value(box, name), 0);
    const known = chosen.length && this.boxes().every(box => box.closest("li").dataset.particles);
    const particles = known ? `, ${total("particles").toLocaleString("en")} particles` : "";
    const share = total("share");
    this.form.querySelector(".sum").value = `${chosen.length} of ${this.list.children.length} classes${particles}`
      + (Number.isNaN(share) ? "" : ` (${(100 * share).toFixed(1)} %)`);
    this.form.querySelector(".command").textContent = ["cryosnake choose", this.form.dataset.job, "--classes",
      this.ticked().join() || "N,N", ...this.settings()].join(" ");
    this.undo.disabled = !this.before.length;
  }
}

// One class larger, over the page: what its own page shows.
class Closer {
  constructor(dialog, chooser) {
    this.dialog = dialog;
    this.chooser = chooser;
    this.tick = dialog.querySelector(".tick input");
    this.tick.addEventListener("change", () => {
      this.box.checked = this.tick.checked;
      chooser.changed();
    });
    dialog.querySelectorAll("[data-go]").forEach(button => button.addEventListener("click", () => this.go(Number(button.dataset.go))));
    dialog.addEventListener("keydown", event => {
      const way = {ArrowLeft: -1, ArrowRight: 1}[event.key];
      if (way && !event.target.matches("canvas, [type=range], .chart")) this.go(way);
    });
    dialog.addEventListener("close", () => { dialog.querySelector(".shown").replaceChildren(); this.box.focus(); });
    chooser.list.addEventListener("click", event => {
      if (!event.target.matches("a.closer") || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      this.open(event.target.closest("li").querySelector("input"));
    });
  }

  go(way) {
    if (!way) return this.dialog.close();
    const boxes = [...this.chooser.list.querySelectorAll("input")];
    const next = boxes[boxes.indexOf(this.box) + way];
    if (next) this.open(next);
  }

  async open(box) {
    this.box = box;
    this.tick.checked = box.checked;
    this.tick.disabled = box.disabled;
    if (!this.dialog.open) this.dialog.showModal();
    const shown = this.dialog.querySelector(".shown");
    shown.textContent = "…";
    const answer = await fetch(box.closest("li").querySelector("a.closer").href);
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (this.box !== box) return;  // another one was asked for meanwhile
    const part = found.querySelector(".one-class") || found.querySelector("main");
    shown.replaceChildren(document.adoptNode(part));
    shown.querySelectorAll(".map").forEach(showMap);
  }
}

document.querySelectorAll("form.choose").forEach(form => {
  const chooser = new Chooser(form);
  chooser.closer = new Closer(document.querySelector("dialog.closer"), chooser);
});
