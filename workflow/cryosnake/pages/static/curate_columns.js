// Columns of what is curated: their limits, and their plots.

const BINS = 60;

class Column {
  constructor(data) {
    Object.assign(this, data);
    this.values = Float64Array.from(data.values, value => value === null ? NaN : value);
    const known = this.values.filter(value => !Number.isNaN(value));
    this.min = known.reduce((a, b) => Math.min(a, b), Infinity);
    this.max = known.reduce((a, b) => Math.max(a, b), -Infinity);
    this.bins = new Uint32Array(BINS);
    const scale = (BINS - 1e-9) / (this.max - this.min || 1);
    known.forEach(value => { this.bins[Math.floor((value - this.min) * scale)]++; });
    this.low = -Infinity;
    this.high = Infinity;
  }

  limit(text) {
    const [low, high] = (text || "..").split("..");
    this.low = low.trim() === "" ? -Infinity : Number(low);
    this.high = high.trim() === "" ? Infinity : Number(high);
  }

  get limited() { return this.low > -Infinity || this.high < Infinity; }

  get text() { return `${this.low > -Infinity ? this.low : ""}..${this.high < Infinity ? this.high : ""}`; }

  keeps(row) { return this.values[row] >= this.low && this.values[row] <= this.high; }

  distance(row) {  // from the nearer limit, in parts of the range
    const value = this.values[row];
    return Math.min(Math.abs(value - this.low), Math.abs(value - this.high)) / (this.max - this.min || 1);
  }
}

// A histogram; bars of what is left out are hollow.
function draw_bins(canvas, one) {
  const pen = canvas.getContext("2d"), most = Math.max(...one.bins, 1), range = one.max - one.min || 1;
  const step = canvas.width / BINS;
  pen.clearRect(0, 0, canvas.width, canvas.height);
  one.bins.forEach((count, bin) => {
    const middle = one.min + (bin + 0.5) / BINS * range, inside = middle >= one.low && middle <= one.high;
    const height = count ? Math.max(2, count / most * (canvas.height - 2)) : 0;
    pen.fillStyle = pen.strokeStyle = ink(inside ? "--c0" : "--faint");
    if (inside) pen.fillRect(bin * step, canvas.height - height, step - 1, height);
    else if (height) pen.strokeRect(bin * step + 0.5, canvas.height - height + 0.5, step - 2, height - 1);
  });
}

// Values in the order of the rows: squares are accepted, crosses are left out; `rows` [first, last] are looked at.
function draw_order(canvas, one, kept, rows) {
  const pen = canvas.getContext("2d"), n = one.values.length, x = row => (row + 0.5) / n * canvas.width;
  const y = value => canvas.height - 6 - (value - one.min) / (one.max - one.min || 1) * (canvas.height - 12);
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (rows) {
    pen.fillStyle = ink("--panel");
    pen.fillRect(x(rows[0] - 0.5), 0, Math.max(2, x(rows[1] + 0.5) - x(rows[0] - 0.5)), canvas.height);
  }
  pen.fillStyle = ink("--c0");
  pen.strokeStyle = ink("--bad");
  pen.beginPath();
  for (let row = 0; row < n; row++) {
    if (Number.isNaN(one.values[row])) continue;
    const [across, up] = [x(row), y(one.values[row])];
    if (kept[row]) pen.fillRect(across - 1.5, up - 1.5, 3, 3);
    else {
      pen.moveTo(across - 2.5, up - 2.5);
      pen.lineTo(across + 2.5, up + 2.5);
      pen.moveTo(across - 2.5, up + 2.5);
      pen.lineTo(across + 2.5, up - 2.5);
    }
  }
  pen.stroke();
  pen.strokeStyle = pen.fillStyle = ink("--ink");
  pen.font = "12px system-ui, sans-serif";
  pen.fillText(`${short(one.max)} ${one.unit || ""}`, 4, 14);
  pen.fillText(`${short(one.min)} ${one.unit || ""}`, 4, canvas.height - 6);
  pen.setLineDash([5, 4]);
  for (const end of [one.low, one.high].filter(limit => Math.abs(limit) < Infinity)) {
    pen.beginPath();
    pen.moveTo(0, y(end));
    pen.lineTo(canvas.width, y(end));
    pen.stroke();
  }
  pen.setLineDash([]);
}

function same(one, other) {
  const ends = text => (text || "..").split("..").map(end => end.trim() === "" ? null : Number(end));
  return ends(one).join() === ends(other).join();
}

function make(tag, given) { return Object.assign(document.createElement(tag), given); }

function ink(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim() || "gray"; }

function short(value) { return Math.abs(value) < Infinity ? String(Number(value.toPrecision(4))) : ""; }
