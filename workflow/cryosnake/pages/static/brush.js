// A range of one column of a table, chosen in its bars.

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

document.querySelectorAll(".brush").forEach(area => new Brush(area));
