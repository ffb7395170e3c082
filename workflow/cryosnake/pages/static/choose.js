// Choosing classes.

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
