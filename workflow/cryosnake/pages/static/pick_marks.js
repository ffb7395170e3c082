// Draws picks on the canvas over a micrograph. Places and radii are in px of the picture, see micrograph.js.

const MARK = "#ffa01c", OTHER = "#56b4e9", AIM = "#ffffff";
const IN_MEMORY = {willReadFrequently: true};  // thousands of small copies cost a graphics card more than the processor

class PickMarks {
  // An empty canvas of the size of the picture.
  constructor(canvas, svg) {
    this.frame = svg.getBoundingClientRect();
    this.to = svg.getScreenCTM();
    this.dense = devicePixelRatio || 1;
    this.canvas = canvas;
    const [width, height] = [this.frame.width, this.frame.height].map(length => Math.round(length * this.dense));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
    this.pen = canvas.getContext("2d", IN_MEMORY);
    this.pen.clearRect(0, 0, width, height);
  }

  circles(places, radius) {
    const reach = radius * this.to.a * this.dense;
    this.copies(places, reach, ink => { ink.strokeStyle = MARK; ink.arc(0, 0, reach, 0, 7); });
  }

  crosses(places, radius) {
    const reach = radius * this.to.a * this.dense;
    this.copies(places, reach, ink => { ink.strokeStyle = OTHER; PickMarks.cross(ink, 0, reach); });
  }

  aim(places) {
    this.copies(places, 14 * this.dense, ink => { ink.strokeStyle = AIM; PickMarks.cross(ink, 3 * this.dense, 14 * this.dense); });
  }

  static cross(ink, from, to) {
    for (const [x, y] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      ink.moveTo(from * x, from * y);
      ink.lineTo(to * x, to * y);
    }
  }

  // Draw one mark and copy it to all places: ten times as fast as two thousand arcs.
  copies(places, reach, path) {
    const half = Math.ceil(reach) + 3, one = document.createElement("canvas");
    one.width = one.height = 2 * half;
    const ink = one.getContext("2d", IN_MEMORY);
    ink.translate(half, half);
    ink.lineWidth = 2 * this.dense;
    ink.beginPath();
    path(ink);
    ink.stroke();
    const {a, d, e, f} = this.to, {left, top} = this.frame, {width, height} = this.canvas;
    for (const [px, py] of places) {
      const x = Math.round((px * a + e - left) * this.dense), y = Math.round((py * d + f - top) * this.dense);
      if (x > -half && y > -half && x < width + half && y < height + half) this.pen.drawImage(one, x - half, y - half);
    }
  }
}
