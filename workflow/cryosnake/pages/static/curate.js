// Curating: limits by sliders, flags by click and keys; counts follow while a slider moves.

const PAGE = 24, STEPS = 1000;
const FLAG = {accept: 1, reject: -1};

class Curator {
  constructor(form) {
    this.form = form;
    this.find = name => form.querySelector(name);
    this.cards = new Map();
    this.page = 0;
    this.rows = null;  // the rows that are looked at, [first, last]
    this.before = [];  // flags to go back to
    this.again = new Set();  // flagged ones made again, whose flag is confirmed
    this.now = 0;      // the row under the keys
    form.addEventListener("submit", event => { event.preventDefault(); this.save(); });
    this.find(".which").addEventListener("change", () => { this.page = 0; this.look(); });
    this.find(".spectra").addEventListener("change", () => this.look());
    this.find(".column").addEventListener("change", () => this.draw_order());
    for (const name of [".from", ".to"]) this.find(name).addEventListener("change", () => this.rows_typed());
    this.find(".whole").addEventListener("click", () => this.choose_rows(null));
    form.querySelectorAll("[data-page]").forEach(button => button.addEventListener("click", () => this.turn(Number(button.dataset.page))));
    this.find(".undo").addEventListener("click", () => this.undo());
    this.find(".looked").addEventListener("click", event => this.clicked(event));
    this.find(".looked").addEventListener("keydown", event => this.key(event));
    this.brush(this.find(".order"));
    document.addEventListener("changed-on-disk", () => this.soon(() => this.load(true)));
    addEventListener("beforeunload", event => { if (this.changed()) event.preventDefault(); });
  }

  soon(work) { clearTimeout(this.waiting); this.waiting = setTimeout(work, 500); }

  // Read the rows; `again` keeps what is being edited, and says where somebody else has saved.
  async load(again) {
    const answer = await fetch(this.form.dataset.data);
    if (!answer.ok) return this.say("The rows can't be read: " + await words_of(answer));
    const data = await answer.json();
    const limits = again ? this.limits() : data.limits, edited = again ? this.edited() : {};
    if (again && data.stamp !== this.stamp && this.changed()) this.say("Somebody else has saved meanwhile. What you changed is still here; load the page again to see theirs.");
    const stale = again && data.stamp !== this.stamp && this.changed();
    this.names = data.names;
    this.images = data.images;
    this.spectra = data.spectra;
    this.earlier = new Set(data.earlier);
    if (!stale) [this.stamp, this.saved, this.said] = [data.stamp, data.limits, data.flags];
    this.place = new Map(this.names.map((name, row) => [name, row]));
    this.was = Int8Array.from(this.names, name => FLAG[this.said[name]] || 0);
    const keep = again && this.had_changed;
    const columns = data.columns.map(one => new Column(one));
    columns.forEach(one => one.limit((keep ? limits : data.limits)[one.label]));
    const redo = !this.columns || columns.map(one => one.label).join() !== this.columns.map(one => one.label).join();
    this.columns = columns;
    this.flags = Int8Array.from(this.names, name => FLAG[name in edited ? edited[name] : this.said[name]] || 0);
    if (redo) this.make_columns();
    this.columns.forEach(one => this.show_column(one));
    this.relion(data.relion);
    this.count();
    this.draw_order();
    if (!again) this.look(); else this.marks();
    this.form.dataset.ready = this.names.length;
  }

  // --- limits ---

  make_columns() {
    const area = this.find(".columns"), select = this.find(".column"), was = select.value;
    area.replaceChildren();
    select.replaceChildren();
    this.columns.forEach((one, index) => {
      select.append(new Option(one.title, index));
      const card = make("fieldset", {className: "limits"});
      card.dataset.label = one.label;
      const unit = one.unit ? ` (${one.unit})` : "";
      card.append(make("legend", {textContent: one.title + unit}));
      const canvas = make("canvas", {width: 260, height: 60});
      canvas.setAttribute("aria-hidden", "true");
      card.append(canvas);
      for (const end of ["low", "high"]) {
        const words = `${end === "low" ? "smallest" : "largest"} ${one.title}${unit}`;
        const slider = make("input", {type: "range", min: 0, max: STEPS, step: 1, className: end});
        const number = make("input", {type: "number", step: "any", className: end, placeholder: short(end === "low" ? one.min : one.max)});
        slider.setAttribute("aria-label", words);
        number.setAttribute("aria-label", words);
        slider.addEventListener("input", () => this.slid(index, end, Number(slider.value)));
        number.addEventListener("input", () => this.typed(index, end, number.value));
        card.append(slider, number);
      }
      card.append(make("output", {className: "out"}));
      area.append(card);
      this.cards.set(one.label, card);
    });
    if (was) select.value = was;
    else select.value = Math.max(0, this.columns.findIndex(one => one.label === "rlnCtfMaxResolution"));
  }

  slid(index, end, place) {
    const one = this.columns[index];
    const rest = end === "low" ? 0 : STEPS, value = one.min + place / STEPS * (one.max - one.min);
    one[end] = place === rest ? (end === "low" ? -Infinity : Infinity) : Number(value.toPrecision(4));
    if (end === "low" && one.low > one.high) one.high = one.low;
    if (end === "high" && one.high < one.low) one.low = one.high;
    this.moved(one);
  }

  typed(index, end, text) {
    const one = this.columns[index];
    one[end] = text === "" ? (end === "low" ? -Infinity : Infinity) : Number(text);
    this.moved(one, true);
  }

  // One redraw for each frame, however many events come.
  moved(one, typing) {
    this.touched = {one, typing};
    if (this.framed) return;
    this.framed = requestAnimationFrame(() => {
      this.framed = 0;
      this.show_column(this.touched.one, this.touched.typing);
      this.count();
      this.marks();
      this.soon(() => { this.draw_order(); if (this.find(".which").value !== "all") this.look(); });
    });
  }

  show_column(one, typing) {
    const card = this.cards.get(one.label), range = one.max - one.min || 1;
    for (const end of ["low", "high"]) {
      const [slider, number] = card.querySelectorAll(`.${end}`), open = Math.abs(one[end]) === Infinity;
      slider.value = open ? (end === "low" ? 0 : STEPS) : (one[end] - one.min) / range * STEPS;
      slider.setAttribute("aria-valuetext", open ? "no limit" : `${one[end]} ${one.unit}`);
      if (!typing || document.activeElement !== number) number.value = open ? "" : one[end];
    }
    draw_bins(card.querySelector("canvas"), one);
  }

  // Of all columns; what was saved for one that the table lacks stays, and is told when it is saved again.
  limits() {
    const lacking = Object.entries(this.saved || {}).filter(([label]) => !this.cards.has(label));
    return Object.fromEntries([...lacking, ...this.columns.filter(one => one.limited).map(one => [one.label, one.text])]);
  }

  // --- counts ---

  count() {
    const limited = this.columns.filter(one => one.limited), n = this.names.length;
    this.kept = new Uint8Array(n);
    const out = limited.map(() => 0);
    let accepted = 0, by_eye = 0;
    this.kept.fill(1);
    limited.forEach((one, k) => {
      const {values, low, high} = one;
      for (let row = 0; row < n; row++) if (!(values[row] >= low && values[row] <= high) && !this.flags[row]) { this.kept[row] = 0; out[k]++; }
    });
    for (let row = 0; row < n; row++) {
      if (this.flags[row]) this.kept[row] = this.flags[row] > 0 ? 1 : 0;
      if (this.flags[row] < 0) by_eye++;
      accepted += this.kept[row];
    }
    this.find(".accepted").textContent = `${accepted.toLocaleString("en")} of ${n.toLocaleString("en")} accepted, ${(n - accepted).toLocaleString("en")} left out`;
    const rules = limited.map((one, k) => `${one.title} ${one.text}: ${out[k].toLocaleString("en")}`);
    if (by_eye) rules.push(`by eye: ${by_eye.toLocaleString("en")}`);
    this.find(".rules").textContent = rules.join(" · ");
    this.columns.forEach(one => { this.cards.get(one.label).querySelector(".out").textContent = one.limited ? `${out[limited.indexOf(one)].toLocaleString("en")} left out` : ""; });
    this.had_changed = this.changed();
    this.find(".command").textContent = this.command();
    this.find(".undo").disabled = !this.before.length;
  }

  // --- flags ---

  state(row) { return {1: "accept", "-1": "reject", 0: ""}[this.flags[row]]; }

  edited() {
    const found = {};
    for (let row = 0; row < this.flags.length; row++) {
      const name = this.names[row];
      if (this.flags[row] !== this.was[row] || (this.flags[row] && this.again.has(name))) found[name] = this.state(row);
    }
    return found;
  }

  changed() {
    if (!this.columns) return false;
    const limits = this.limits(), labels = new Set([...Object.keys(limits), ...Object.keys(this.saved)]);
    return Object.keys(this.edited()).length > 0 || [...labels].some(label => !same(limits[label], this.saved[label]));
  }

  flag(rows, value) {
    this.before.push(rows.map(row => [this.names[row], this.flags[row]]));
    rows.forEach(row => {
      this.flags[row] = value;
      if (this.earlier.has(this.names[row])) this.again.add(this.names[row]);
    });
    this.count();
    this.marks();
  }

  undo() {
    for (const [name, value] of this.before.pop() || []) {
      this.again.delete(name);
      if (this.place.has(name)) this.flags[this.place.get(name)] = value;
    }
    this.count();
    this.marks();
  }

  relion(selections) {
    const area = this.find(".relion");
    area.replaceChildren(...Object.entries(selections).map(([job, names]) => {
      const line = make("p", {className: "note", textContent: `Left out in ${job}, while picking: ${names.length}. `});
      const button = make("button", {type: "button", textContent: "reject these"});
      button.addEventListener("click", () => this.flag(names.map(name => this.place.get(name)), -1));
      line.append(button);
      return line;
    }));
  }

  // --- pictures ---

  wanted() {
    const which = this.find(".which").value, [first, last] = this.rows || [0, this.names.length - 1];
    const rows = [];
    for (let row = first; row <= last; row++) {
      if (which === "accepted" && !this.kept[row]) continue;
      if (which === "rejected" && this.kept[row]) continue;
      if (which === "flagged" && !this.flags[row]) continue;
      rows.push(row);
    }
    const limited = this.columns.filter(one => one.limited);
    if (which !== "near" || !limited.length) return rows;
    const far = new Float64Array(this.names.length);
    rows.forEach(row => { far[row] = Math.min(...limited.map(one => one.distance(row))); });
    return rows.sort((a, b) => far[a] - far[b]);
  }

  look() {
    const rows = this.wanted(), pages = Math.max(1, Math.ceil(rows.length / PAGE)), list = this.find(".looked");
    this.page = Math.min(this.page, pages - 1);
    const shown = rows.slice(this.page * PAGE, (this.page + 1) * PAGE), focused = list.contains(document.activeElement);
    list.replaceChildren(...shown.map(row => this.item(row)));
    this.find(".where").textContent = `page ${this.page + 1} of ${pages}, ${rows.length.toLocaleString("en")} ${rows.length === 1 ? "image" : "images"}`;
    if (list.firstChild) list.firstChild.firstChild.tabIndex = 0;
    if (focused && list.firstChild) list.firstChild.firstChild.focus();
    this.marks();
  }

  item(row) {
    const item = make("li", {}), button = make("button", {type: "button", className: "one"});
    item.dataset.name = this.names[row];
    button.tabIndex = -1;
    const wide = this.form.querySelector(".spectra").checked && this.spectra.length;
    for (const source of [this.images[row], ...(wide ? [this.spectra[row]] : [])]) {
      const picture = make("img", {src: source, loading: "lazy", alt: ""});
      picture.addEventListener("error", () => { picture.replaceWith(make("small", {textContent: "no picture"})); });
      button.append(picture);
    }
    button.append(make("span", {className: "words"}));
    item.append(button);
    return item;
  }

  // What stands at each picture; the pictures stay.
  marks() {
    for (const item of this.find(".looked").children) {
      const row = this.place.get(item.dataset.name);
      if (row === undefined) continue;
      const name = item.dataset.name.split("/").pop(), broken = this.columns.filter(one => one.limited && !one.keeps(row));
      const why = this.flags[row] ? "by eye" : broken.map(one => `${one.title} ${one.values[row]}`).join(", ");
      const words = `${this.kept[row] ? "✓" : "✗"} ${name}${why ? `: ${why}` : ""}${this.earlier.has(item.dataset.name) ? " (made on the earlier motion correction)" : ""}`;
      item.className = `${this.kept[row] ? "good" : "bad"}${this.flags[row] ? " flagged" : ""}`;
      item.querySelector(".words").textContent = words;
    }
  }

  turn(by) {
    this.page = Math.max(0, this.page + by);
    this.look();
  }

  rows_of(item) { return [this.place.get(item.dataset.name)]; }

  clicked(event) {
    const item = event.target.closest("li");
    if (!item) return;
    const [row] = this.rows_of(item);
    this.focus(item.querySelector("button"));
    this.flag([row], {0: this.kept[row] ? -1 : 1, "-1": this.flags[row] === -1 ? 0 : -1, 1: 0}[this.flags[row]]);
  }

  focus(button) {
    this.find(".looked").querySelectorAll("button").forEach(one => { one.tabIndex = one === button ? 0 : -1; });
    button.focus();
  }

  key(event) {
    const item = event.target.closest("li");
    if (!item || event.ctrlKey || event.altKey || event.metaKey) return;
    const value = {a: 1, r: -1, u: 0}[event.key.toLowerCase()];
    if (value !== undefined) this.flag(this.rows_of(item), value);
    const items = [...this.find(".looked").children], at = items.indexOf(item);
    const columns = items.filter(one => one.offsetTop === items[0].offsetTop).length;
    const by = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns}[event.key];
    if (by) {
      event.preventDefault();
      if (items[at + by]) this.focus(items[at + by].querySelector("button"));
      else if (Math.abs(by) === 1) this.turn(by);
    } else if (value !== undefined && value !== 0 && items[at + 1]) this.focus(items[at + 1].querySelector("button"));
  }

  // --- the order ---

  draw_order() {
    const one = this.columns[Number(this.find(".column").value)];
    if (one) draw_order(this.find(".order"), one, this.kept, this.rows);
  }

  brush(canvas) {
    let from = null;
    const row = event => {
      const frame = canvas.getBoundingClientRect();
      return Math.min(this.names.length - 1, Math.max(0, Math.floor((event.clientX - frame.left) / frame.width * this.names.length)));
    };
    canvas.addEventListener("pointerdown", event => { from = row(event); canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", event => { if (from !== null) { this.rows = [Math.min(from, row(event)), Math.max(from, row(event))]; requestAnimationFrame(() => this.draw_order()); } });
    canvas.addEventListener("pointerup", event => { const to = row(event); this.choose_rows(to === from ? null : [Math.min(from, to), Math.max(from, to)]); from = null; });
  }

  rows_typed() {
    const from = Number(this.find(".from").value) || 1, to = Number(this.find(".to").value) || this.names.length;
    this.choose_rows(from <= to ? [Math.min(from, this.names.length) - 1, Math.min(to, this.names.length) - 1] : null);
  }

  choose_rows(rows) {
    this.rows = rows;
    this.find(".from").value = rows ? rows[0] + 1 : "";
    this.find(".to").value = rows ? rows[1] + 1 : "";
    this.page = 0;
    this.draw_order();
    this.look();
  }

  // --- saving ---

  command() {
    const job = document.querySelector("h1").textContent.split(" for ").pop(), limits = this.limits(), words = ["cryosnake curate", job];
    for (const one of this.columns) if (!same(limits[one.label], this.saved[one.label])) words.push(`--limit ${one.label}=${one.text}`);
    const edited = Object.entries(this.edited());
    for (const [option, state] of [["--accept", "accept"], ["--reject", "reject"], ["--unflag", ""]]) {
      const names = edited.filter(([, one]) => one === state).map(([name]) => name);
      if (names.length) words.push(option, ...names.slice(0, 20).map(quoted), ...(names.length > 20 ? ["…"] : []));
    }
    return words.join(" ");
  }

  async save() {
    if (!this.form.dataset.edit) return;
    const body = new URLSearchParams({stamp: this.stamp, limits: JSON.stringify(this.limits()), flags: JSON.stringify(this.edited())});
    try {
      const answer = await fetch(this.form.dataset.save, {method: "POST", body});
      if (!answer.ok) return this.say("Not saved: " + await words_of(answer));
      const now = await answer.json();
      [this.stamp, this.saved, this.said] = [now.stamp, now.limits, now.flags];
      this.was = Int8Array.from(this.names, name => FLAG[this.said[name]] || 0);
      this.before = [];
      this.again.clear();
      this.earlier = new Set(now.earlier);
      this.count();
      this.marks();
      this.say("Saved. cryosnake run makes what follows.");
    } catch (error) {
      this.say(`Not saved: no word from the server (${error.message}). What you changed is still here.`);
    }
  }

  say(words) { this.find(".saved").textContent = words; }
}

// A word as a shell takes it.
function quoted(word) { return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`; }

async function words_of(answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html"), main = page.querySelector("main") || page.body;
  return main.textContent.trim().replace(/\s+/g, " ");
}

document.querySelectorAll("form.curate").forEach(form => new Curator(form).load(false));
