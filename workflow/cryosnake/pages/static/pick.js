// Picking by hand: the micrograph under the hand, the list of micrographs, and saving. pick_sheet.js has the picks
// themselves, pick_marks.js draws them.

const STILL = 4, STEP = 8;  // px of the window

class Picker extends MicrographViewer {
  constructor(box) {
    super(box.querySelector(".micrograph"));
    this.box = box;
    this.edit = Boolean(box.dataset.edit);
    this.canvas = box.querySelector(".marks");
    this.sheets = new Map();
    this.list = [];
    this.rows = new MicrographList(box);
    this.times = [];  // ms that drawing took
    this.svg.addEventListener("contextmenu", event => event.preventDefault());
    new ResizeObserver(() => this.drawSoon()).observe(this.svg);
    box.addEventListener("click", event => this.act(event.target.closest("[data-do]")?.dataset.do));
    box.addEventListener("input", event => this.changedSetting(event));
    document.addEventListener("keydown", event => this.shortcut(event));
    addEventListener("beforeunload", event => { if (this.unsaved().length) event.preventDefault(); });
    box.querySelector(".list").addEventListener("click", event => this.chosen(event));
    this.begin();
  }

  find(name) { return this.box.querySelector(`.${name}`); }

  // --- micrographs -------------------------------------------------------------------------------------------------

  async begin() {
    const listed = await this.ask(this.box.dataset.picks);
    if (!listed) return;
    this.list = listed.micrographs.map(([name, picks, origin, earlier, selected]) => ({name, picks, origin, earlier, selected}));
    const first = this.box.dataset.first || this.list.find(one => !this.picked(one))?.name || this.list[0]?.name;
    if (first) await this.open(first);
  }

  async ask(address, form) {
    const body = form && new URLSearchParams(form);
    try {
      const answer = await fetch(address, {method: form ? "POST" : "GET", body, headers: {Accept: "application/json"}});
      const found = await answer.json().catch(() => ({message: `the server answered ${answer.status}`}));
      if (answer.ok) return found;
      this.status = answer.status;
      this.say(`${found.message}.`, "bad");
    } catch (error) {
      this.status = 0;
      this.say(`No word from the server (${error.message}). What you picked stays in this tab; try again.`, "bad");
    }
    return undefined;
  }

  async load(name) {
    const found = await this.ask(`${this.box.dataset.picks}?${new URLSearchParams({micrograph: name})}`);
    return found && new PickSheet(found, `picks ${this.box.dataset.save} ${name}`);
  }

  async open(name) {
    const sheet = this.sheets.get(name) || await this.load(name);
    if (!sheet) return;
    this.sheets.set(name, sheet);
    this.sheet = sheet;
    [this.width, this.height] = [sheet.width, sheet.height];
    this.cross = [Math.round(sheet.width / 2), Math.round(sheet.height / 2)];
    this.svg.setAttribute("aria-label", name);
    this.find("name").textContent = name;
    this.picture();
    this.all();
    history.replaceState(null, "", `?${new URLSearchParams({micrograph: name})}`);
    this.greet();
    this.showSources();
    this.drawSoon();
    this.svg.focus({preventScroll: true});
  }

  // Words on what there was before: picks of this tab that were never saved, or picks on an earlier micrograph.
  greet() {
    const kept = this.sheet.done.length ? null : this.sheet.kept();
    if (kept && this.edit) {
      this.say(`${kept.places.length} picks of this micrograph were not saved before this page was loaded again.`, "doubtful",
        ["take them up", () => { this.sheet.selected = kept.selected; this.change(() => this.sheet.set(kept.places)); this.say(""); }],
        ["throw them away", () => { this.sheet.keep(); this.say(""); }]);
    } else if (this.sheet.earlier) {
      this.say("These picks were made on the earlier motion correction of this micrograph: see whether they still lie on particles, and save.", "doubtful");
    } else this.say("");
  }

  picture() {
    const query = new URLSearchParams({lowpass: this.find("lowpass").value || 0, sigma: this.find("sigma").value || 0, side: 1024});
    const whole = this.svg.querySelector(".whole");
    whole.setAttribute("href", `${this.sheet.image}?${query}`);
    whole.setAttribute("width", this.width);
    whole.setAttribute("height", this.height);
    this.sharpenSoon();
  }

  at() { return this.list.findIndex(one => one.name === this.sheet?.micrograph); }

  async go(index) {
    const one = this.list[index];
    if (!one || !(await this.settled())) return;
    await this.open(one.name);
  }

  // Whether the micrograph can be left: what changed is saved first.
  async settled() { return !this.edit || !this.sheet?.changed() || this.save(); }

  after() { return this.go(this.at() + 1); }

  before() { return this.go(this.at() - 1); }

  empty() {
    const here = this.at(), order = [...this.list.keys()].map(step => (here + 1 + step) % this.list.length);
    const found = order.find(index => !this.picked(this.list[index]) && index !== here);
    if (found === undefined) this.say("All other micrographs have picks.", "");
    else this.go(found);
  }

  chosen(event) {
    const link = event.target.closest("[data-name]");
    if (link) this.go(this.list.findIndex(one => one.name === link.dataset.name));
  }

  // --- saving ------------------------------------------------------------------------------------------------------

  unsaved() { return [...this.sheets.values()].filter(sheet => sheet.changed()); }

  // One save at a time: a key that is held down must not send the same picks twice.
  save() {
    this.saving ??= this.sendPicks().finally(() => { this.saving = undefined; });
    return this.saving;
  }

  async sendPicks() {
    const sheet = this.sheet, words = PickSheet.words(sheet.places, sheet.selected);
    const places = sheet.places.map(place => place.join()).join(" ");
    const saved = await this.ask(this.box.dataset.save, {micrograph: sheet.micrograph, stamp: sheet.stamp, selected: sheet.selected ? 1 : 0, places});
    if (!saved) { await this.refused(sheet); return false; }
    Object.assign(sheet, {stamp: saved.stamp, saved: words, origin: "person", earlier: false});
    sheet.keep();
    Object.assign(this.list.find(one => one.name === sheet.micrograph), {picks: sheet.places.length, origin: "person", earlier: false, selected: sheet.selected});
    document.querySelector(".remark").textContent = saved.remark;
    this.say(`Saved: ${sheet.places.length} picks in ${saved.path}.`, "running");
    this.showCounts();
    return true;
  }

  // Nothing that was picked goes: say why, and what can be done; somebody else's picks can be looked at.
  async refused(sheet) {
    const words = document.querySelector(".said .words").textContent, again = ["save again", () => this.save()];
    const theirs = this.status === 409 ? await this.load(sheet.micrograph) : undefined;
    const choices = theirs && theirs.stamp !== sheet.stamp
      ? [["show theirs", () => { sheet.stamp = theirs.stamp; sheet.saved = PickSheet.words(theirs.places, theirs.selected); this.change(() => sheet.set(theirs.places)); this.say("These are the picks that somebody else saved. Undo shows yours; saving puts what is shown in their place.", "doubtful"); }]]
      : [again];
    this.say(`${words} Your ${sheet.places.length} picks are still in this tab.`, "bad", ...choices, ["copy mine", () => this.copy(sheet)], ["download mine", () => this.download(sheet)]);
  }

  copy(sheet) { navigator.clipboard.writeText(sheet.text()).catch(() => prompt("x and y of each pick:", sheet.text())); }

  download(sheet) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n${sheet.text()}\n`], {type: "text/plain"}));
    link.download = `${sheet.micrograph.split("/").pop().replace(/\.[^.]*$/, "")}_manualpick.star`;
    link.click();
    URL.revokeObjectURL(link.href);
  }

  say(words, kind = "", ...choices) {
    const line = document.querySelector(".said");
    line.hidden = !words;
    line.className = `note said ${kind}`;
    const text = document.createElement("span");
    text.className = "words";
    text.textContent = words;
    line.replaceChildren(text, ...choices.map(([name, act]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", act);
      return button;
    }));
  }

  // --- picking -----------------------------------------------------------------------------------------------------

  radius() { return this.find("diameter").value / (this.sheet.pixelSize || 1) / 2; }

  // The pixel of the file at a place of the picture: row 0 is at the bottom, whole numbers are in the middles of pixels.
  pixel([x, y]) { return [Math.floor(x), this.sheet.height - 1 - Math.floor(y)]; }

  hold(event) {
    if (!this.sheet) return;
    super.hold(event);
    this.svg.focus({preventScroll: true});
    this.began = {x: event.clientX, y: event.clientY, button: event.button, stroke: this.edit && event.button === 0 && this.find("brush").checked ? this.sheet.places : null};
    if (this.began.stroke) this.drag(event);
  }

  drag(event) {
    if (!this.began) return;
    if (this.began.stroke) {
      this.sheet.brush(...this.pixel(this.place(event)), this.radius());
      this.drawSoon();
    } else if (this.began.moved || Math.hypot(event.clientX - this.began.x, event.clientY - this.began.y) > STILL) {
      this.began.moved = true;
      super.drag(event);
    }
  }

  release(event) {
    super.release(event);
    const began = this.began;
    this.began = undefined;
    if (!began || began.moved || !this.edit) return;
    const [x, y] = this.pixel(this.place(event));
    if (began.stroke) this.change(() => this.sheet.endStroke(began.stroke));
    else if (began.button === 2 || event.shiftKey) this.change(() => this.sheet.erase(x, y, this.radius()));
    else if (began.button === 0) this.change(() => this.sheet.add([x, y]));
  }

  change(act) {
    act();
    this.sheet.keep();
    this.drawSoon();
  }

  undo() { this.change(() => this.sheet.undo()); }

  redo() { this.change(() => this.sheet.redo()); }

  clear() { if (this.sheet.places.length) this.change(() => this.sheet.set([])); }

  key(event) {
    const step = event.shiftKey ? 1 : Math.max(1, Math.round(STEP * this.scale()));
    const moves = {ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step]}[event.key];
    if (!this.sheet) return;
    if (moves) this.moveCross(moves);
    else if (this.edit && (event.key === " " || event.key === "Enter")) this.change(() => this.sheet.add([...this.cross]));
    else if (this.edit && (event.key === "Delete" || event.key === "Backspace")) this.change(() => this.sheet.erase(...this.cross, this.radius()));
    else if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 0.8 : 1.25, ...this.seenAt(this.cross));
    else return super.key(event);
    event.preventDefault();
  }

  // The cross stays on the micrograph, and the view follows it.
  moveCross([x, y]) {
    this.crossed = true;
    this.cross = [Math.min(Math.max(this.cross[0] + x, 0), this.width - 1), Math.min(Math.max(this.cross[1] + y, 0), this.height - 1)];
    const [cx, cy] = this.seenAt(this.cross), [left, top, width, height] = this.view;
    if (cx < left || cx > left + width || cy < top || cy > top + height) this.show([cx - width / 2, cy - height / 2, width, height]);
    this.drawSoon();
  }

  seenAt([x, y]) { return [x + 0.5, this.sheet.height - y - 0.5]; }

  shortcut(event) {
    const typing = event.target.matches("input:not([type=checkbox]):not([type=range]), select, textarea");
    if (typing || !this.sheet || event.altKey) return;
    const command = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    const name = command ? {z: event.shiftKey ? "redo" : "undo", y: "redo"}[key]
      : {n: "after", p: "before", m: "empty", s: "save", e: "toggleBrush", h: "toggleShown"}[key];
    if (!name || (!this.edit && ["undo", "redo", "save", "toggleBrush"].includes(name))) return;
    event.preventDefault();
    this[name]();
  }

  toggleBrush() { this.find("brush").checked = !this.find("brush").checked; }

  toggleShown() {
    this.find("shown").checked = !this.find("shown").checked;
    this.drawSoon();
  }

  act(name) { if (name && this.sheet) this[name](); }

  changedSetting({target}) {
    if (!this.sheet) return;
    if (target.matches(".diameter")) this.box.querySelectorAll(".diameter").forEach(one => { if (one !== target) one.value = target.value; });
    if (target.matches(".lowpass, .sigma")) this.picture();
    if (target.matches(".selected")) this.change(() => { this.sheet.selected = target.checked; });
    if (target.matches(".word")) this.showList();
    if (target.matches(".source")) this.showMerit();
    this.drawSoon();
  }

  // --- picks to start from -----------------------------------------------------------------------------------------

  showSources() {
    if (!this.edit) return;
    this.find("start").hidden = !this.sheet.sources.length;
    this.find("source").replaceChildren(new Option("choose a job", ""), ...this.sheet.sources.map(one => new Option(one.job, one.job)));
    this.showMerit();
  }

  source() { return this.edit ? this.sheet.sources.find(one => one.job === this.find("source").value) : undefined; }

  showMerit() {
    const merits = this.source()?.merits, slider = this.find("least");
    this.find("merit").hidden = !merits;
    if (!merits) return;
    const [low, high] = [Math.min(...merits), Math.max(...merits)];
    Object.assign(slider, {min: low, max: high, step: (high - low) / 200});
    slider.value = low;
  }

  offered() {
    const source = this.source(), least = this.find("least");
    if (!source) return [];
    return source.merits ? source.places.filter((_, index) => source.merits[index] >= Number(least.value) - 1e-6) : source.places;
  }

  take() {
    const near = this.radius() / 2;
    const fresh = this.offered().filter(place => this.sheet.inside(place) && this.sheet.nearest(...place, near) < 0);
    if (fresh.length) this.change(() => this.sheet.set([...this.sheet.places, ...fresh]));
    this.find("source").selectedIndex = 0;
    this.showMerit();
    this.drawSoon();
  }

  // --- what is shown -----------------------------------------------------------------------------------------------

  show(view) {
    super.show(view);
    this.drawSoon();
  }

  drawSoon() {
    if (this.drawing || !this.sheet) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = undefined;
      const began = performance.now();
      this.draw();
      this.times.push(performance.now() - began);
      this.showCounts();
    });
  }

  draw() {
    const marks = new PickMarks(this.canvas, this.svg), at = places => places.map(place => this.seenAt(place));
    if (this.find("shown").checked) {
      marks.circles(at(this.sheet.places), this.radius());
      marks.crosses(at(this.offered()), this.radius() / 2);
    }
    if (this.crossed) marks.aim(at([this.cross]));
  }

  showCounts() {
    const sheet = this.sheet, enough = Number(this.box.dataset.enough);
    const counted = this.list.map(one => this.picked(one)), total = counted.reduce((sum, count) => sum + count, 0), used = counted.filter(Boolean).length;
    this.find("count").textContent = `${sheet.places.length} picks here, ${total.toLocaleString("en")} of yours on ${used} micrograph${used === 1 ? "" : "s"}`;
    this.find("sum").textContent = (total < enough ? `${enough - total} more, then train.` : `${enough} picked: train.`)
      + (sheet.changed() ? " Not saved yet." : "") + (sheet.origin === "automatic" && !sheet.changed() ? " These were picked automatically: saving makes them yours." : "");
    if (this.edit) {
      this.find("selected").checked = sheet.selected;
      for (const [name, off] of Object.entries({save: !sheet.changed() && sheet.origin !== "automatic" && !sheet.earlier, undo: !sheet.done.length, redo: !sheet.undone.length})) this.box.querySelector(`[data-do=${name}]`).disabled = off;
    }
    const output = this.box.querySelector(".merit output");
    if (output && this.source()) output.textContent = `${Number(this.find("least").value).toFixed(2)}: ${this.offered().length} of ${this.source().places.length}`;
    document.querySelectorAll(".compare").forEach(link => { link.href = `${sheet.view}?${new URLSearchParams({picks: link.dataset.picks, with: link.dataset.with})}`; });
    this.showList();
  }

  // A person's picks on a micrograph: those that a program proposes count when they are saved or changed.
  picked(one) {
    const sheet = this.sheets.get(one.name);
    if (sheet?.changed()) return sheet.places.length;
    return one.origin === "automatic" ? 0 : one.picks;
  }

  showList() { this.rows.show(this.list, this.sheets, this.sheet.micrograph); }
}

document.querySelectorAll(".pick").forEach(box => { box.picker = new Picker(box); });
