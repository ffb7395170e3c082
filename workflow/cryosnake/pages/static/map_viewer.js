"use strict";
// A map as a surface at a threshold, drawn by WebGL: turn it, zoom, move the threshold. No library.

// Naive surface nets (Gibson 1998, MICCAI, LNCS 1496, 888): a vertex in each cell that the surface passes, a face
// across each edge of the grid that it cuts. Returns {points, normals, faces}; the grid's middle is the origin.
function surfaceOf(values, box, level) {
  const at = new Int32Array(box * box * box).fill(-1), points = [], normals = [], faces = [];
  const plane = box * box, middle = box / 2;
  const steps = [0, 1, box, box + 1, plane, plane + 1, plane + box, plane + box + 1];
  const edges = [[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3], [4, 6], [5, 7], [0, 4], [1, 5], [2, 6], [3, 7]];
  for (let z = 0; z < box - 1; z++) for (let y = 0; y < box - 1; y++) for (let x = 0; x < box - 1; x++) {
    const here = x + y * box + z * plane;
    let inside = 0;
    for (let corner = 0; corner < 8; corner++) if (values[here + steps[corner]] > level) inside |= 1 << corner;
    if (inside === 0 || inside === 255) continue;
    let sx = 0, sy = 0, sz = 0, count = 0;
    for (const [a, b] of edges) {
      if ((inside >> a & 1) === (inside >> b & 1)) continue;
      const first = values[here + steps[a]], share = (level - first) / (values[here + steps[b]] - first);
      sx += (a & 1) + share * ((b & 1) - (a & 1));
      sy += (a >> 1 & 1) + share * ((b >> 1 & 1) - (a >> 1 & 1));
      sz += (a >> 2 & 1) + share * ((b >> 2 & 1) - (a >> 2 & 1));
      count++;
    }
    at[here] = points.length / 3;
    points.push(x + sx / count - middle, y + sy / count - middle, z + sz / count - middle);
    // the surface faces down the gradient of the cell's corners
    const v = corner => values[here + steps[corner]];
    const gx = v(1) + v(3) + v(5) + v(7) - v(0) - v(2) - v(4) - v(6);
    const gy = v(2) + v(3) + v(6) + v(7) - v(0) - v(1) - v(4) - v(5);
    const gz = v(4) + v(5) + v(6) + v(7) - v(0) - v(1) - v(2) - v(3);
    const length = Math.hypot(gx, gy, gz) || 1;
    normals.push(-gx / length, -gy / length, -gz / length);
    if (x && y && z) {  // faces across the three edges that begin here
      const turn = inside & 1;
      const quad = (a, b, c, d) => turn ? faces.push(a, b, c, a, c, d) : faces.push(a, c, b, a, d, c);
      const corner = offset => at[here - offset];
      if ((inside & 1) !== (inside >> 1 & 1)) quad(at[here], corner(box), corner(box + plane), corner(plane));
      if ((inside & 1) !== (inside >> 2 & 1)) quad(at[here], corner(plane), corner(plane + 1), corner(1));
      if ((inside & 1) !== (inside >> 4 & 1)) quad(at[here], corner(1), corner(1 + box), corner(box));
    }
  }
  return {points: new Float32Array(points), normals: new Float32Array(normals), faces: new Uint32Array(faces)};
}

const VERTEX = `attribute vec3 place, normal; uniform mat3 turned; uniform vec2 scale; uniform float zoom;
attribute float worth; varying vec3 facing; varying float depth, shade;
void main() { shade = worth; vec3 seen = turned * place * zoom; facing = turned * normal; depth = seen.z;
  gl_Position = vec4(seen.xy * scale / (1.0 - 0.25 * seen.z), -0.4 * seen.z, 1.0); }`;
const FRAGMENT = `precision mediump float; uniform vec3 colour, fog; uniform bool coloured;
varying vec3 facing; varying float depth, shade;
vec3 ramp(float at) { vec3 low = vec3(0.23, 0.39, 0.78), second = vec3(0.21, 0.71, 0.77), middle = vec3(0.56, 0.82, 0.42);
  vec3 fourth = vec3(0.94, 0.71, 0.24), high = vec3(0.82, 0.25, 0.18);
  return at < 0.25 ? mix(low, second, at * 4.0) : at < 0.5 ? mix(second, middle, at * 4.0 - 1.0)
    : at < 0.75 ? mix(middle, fourth, at * 4.0 - 2.0) : mix(fourth, high, at * 4.0 - 3.0); }
void main() { vec3 n = normalize(facing);
  float light = 0.30 + 0.62 * max(dot(n, normalize(vec3(0.35, 0.5, 0.8))), 0.0)
    + 0.18 * max(dot(n, normalize(vec3(-0.7, -0.2, 0.5))), 0.0);
  vec3 shown = (coloured ? ramp(clamp(shade, 0.0, 1.0)) : colour) * light + vec3(0.22) * pow(max(dot(n, normalize(vec3(0.2, 0.35, 0.92))), 0.0), 24.0);
  gl_FragColor = vec4(mix(fog, shown, clamp(0.80 + 0.45 * depth, 0.35, 1.0)), 1.0); }`;

function programOf(gl) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) || "shaders");
  gl.useProgram(program);
  return program;
}

const product = (a, b) => a.map((_, i) => [0, 1, 2].reduce((sum, k) => sum + a[k * 3 + i % 3] * b[(i / 3 | 0) * 3 + k], 0));
const aboutY = angle => [Math.cos(angle), 0, -Math.sin(angle), 0, 1, 0, Math.sin(angle), 0, Math.cos(angle)];
const aboutX = angle => [1, 0, 0, 0, Math.cos(angle), Math.sin(angle), 0, -Math.sin(angle), Math.cos(angle)];

class MapViewer {
  constructor(figure, values, colours) {
    this.figure = figure;
    this.values = values;
    this.colours = colours;  // of the same size, 0 to 31, or null
    this.check = figure.querySelector("input[type=checkbox]");
    this.box = Number(figure.dataset.box);
    this.canvas = figure.querySelector("canvas");
    this.slider = figure.querySelector("input[type=range]");
    this.output = figure.querySelector("output");
    this.canvas.addEventListener("webglcontextlost", event => { event.preventDefault(); this.gl = null; });
    this.canvas.addEventListener("webglcontextrestored", () => this.begin());
    this.listen();
    this.reset();
    this.begin();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  begin() {
    const gl = this.canvas.getContext("webgl", {antialias: true, preserveDrawingBuffer: true});
    if (!gl || !gl.getExtension("OES_element_index_uint")) throw new Error("this browser has no WebGL");
    this.gl = gl;
    this.program = programOf(gl);
    this.buffers = Array.from({length: 4}, () => gl.createBuffer());
    gl.enable(gl.DEPTH_TEST);
    this.contour();
  }

  // The zoom at which the surface fills the picture.
  fit() {
    let reach = 1;
    const points = this.points;
    for (let i = 0; i < points.length; i += 3) reach = Math.max(reach, Math.hypot(points[i], points[i + 1], points[i + 2]));
    this.zoom = 0.5 * this.box / reach;
  }

  reset() {
    this.turned = product(aboutX(0.45), aboutY(-0.6));
    this.zoom = 0;
    this.slider.value = Number(this.figure.dataset.level) / Number(this.figure.dataset.step);
  }

  contour() {
    const gl = this.gl, level = Number(this.slider.value);
    this.output.value = (level * Number(this.figure.dataset.step)).toPrecision(3);
    if (!gl) return;
    const surface = surfaceOf(this.values, this.box, Math.max(level, 0.25));
    this.count = surface.faces.length;
    this.points = surface.points;
    if (!this.zoom) this.fit();
    const given = [["place", surface.points, 3], ["normal", surface.normals, 3], ["worth", this.worths(surface.points), 1]];
    for (const [index, [name, numbers, size]] of given.entries()) {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[index]);
      gl.bufferData(gl.ARRAY_BUFFER, numbers, gl.STATIC_DRAW);
      const place = gl.getAttribLocation(this.program, name);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, size, gl.FLOAT, false, 0, 0);
    }
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.buffers[3]);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, surface.faces, gl.STATIC_DRAW);
    this.draw();
  }

  // Where each vertex is between the best and the worst resolution.
  worths(points) {
    const found = new Float32Array(points.length / 3), middle = this.box / 2;
    if (this.colours) for (let i = 0; i < found.length; i++) {
      const [x, y, z] = [0, 1, 2].map(axis => Math.round(points[i * 3 + axis] + middle));
      found[i] = this.colours[x + this.box * (y + this.box * z)] / 31;
    }
    return found;
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.drawNow(); });
  }

  drawNow() {
    const gl = this.gl, canvas = this.canvas;
    if (!gl) return;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
    const colours = getComputedStyle(this.figure), rgb = name => {
      const number = parseInt(colours.getPropertyValue(name).trim().slice(1), 16);
      return [number >> 16 & 255, number >> 8 & 255, number & 255].map(part => part / 255);
    };
    const uniform = name => gl.getUniformLocation(this.program, name), paper = rgb("--panel");
    gl.viewport(0, 0, width, height);
    gl.clearColor(...paper, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.uniformMatrix3fv(uniform("turned"), false, this.turned);
    gl.uniform2f(uniform("scale"), Math.min(1, height / width), Math.min(1, width / height));
    gl.uniform1f(uniform("zoom"), 1.72 * this.zoom / this.box);
    gl.uniform3fv(uniform("colour"), rgb("--density"));
    gl.uniform3fv(uniform("fog"), paper);
    gl.uniform1i(uniform("coloured"), this.check && this.check.checked ? 1 : 0);
    gl.drawElements(gl.TRIANGLES, this.count, gl.UNSIGNED_INT, 0);
    canvas.dataset.drawn = this.count / 3;
  }

  turn(right, down) {
    this.turned = product(product(aboutX(down), aboutY(right)), this.turned);
    this.draw();
  }

  zoomBy(factor) {
    this.zoom = Math.min(8, Math.max(0.3, this.zoom * factor));
    this.draw();
  }

  listen() {
    const canvas = this.canvas;
    canvas.addEventListener("pointerdown", event => { canvas.setPointerCapture(event.pointerId); this.last = event; });
    canvas.addEventListener("pointermove", event => {
      if (!event.buttons || !this.last) return;
      this.turn((event.clientX - this.last.clientX) / 140, (event.clientY - this.last.clientY) / 140);
      this.last = event;
    });
    canvas.addEventListener("wheel", event => {
      if (!event.ctrlKey && document.activeElement !== canvas) return;  // else the page scrolls
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY / 400));
    }, {passive: false});
    const keys = {ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15]};
    canvas.addEventListener("keydown", event => {
      if (keys[event.key]) this.turn(...keys[event.key]);
      else if (event.key === "+" || event.key === "=") this.zoomBy(1.15);
      else if (event.key === "-") this.zoomBy(1 / 1.15);
      else return;
      event.preventDefault();
    });
    this.slider.addEventListener("input", () => this.contour());
    if (this.check) this.check.addEventListener("change", () => this.draw());
    this.figure.querySelector("button").addEventListener("click", () => { this.reset(); this.contour(); });
  }
}

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Without WebGL: the three middle slices, beside each other; first row at the bottom.
function drawSlices(canvas, values, box) {
  const pen = canvas.getContext("2d"), gap = 4, half = box >> 1;
  [canvas.width, canvas.height] = [3 * box + 2 * gap, box];
  const places = [(x, y) => x + y * box + half * box * box, (x, y) => x + half * box + y * box * box, (x, y) => half + x * box + y * box * box];
  const highest = values.reduce((most, value) => Math.max(most, value), 1);
  for (const [number, place] of places.entries()) {
    const picture = pen.createImageData(box, box);
    for (let y = 0; y < box; y++) for (let x = 0; x < box; x++) {
      const grey = 255 * values[place(x, y)] / highest;
      picture.data.set([grey, grey, grey, 255], 4 * (x + (box - 1 - y) * box));
    }
    pen.putImageData(picture, number * (box + gap), 0);
  }
}

// What a browser that can't turn a map shows of it.
function showSlices(figure, values, reason) {
  figure.querySelectorAll("canvas, .controls, .ramp, figcaption").forEach(part => { part.hidden = true; });
  const words = figure.querySelector(".fallback");
  words.hidden = false;
  words.textContent = `The map can't be turned here (${reason}).`;
  if (!values) return;
  words.textContent += " Its middle slices across z, y and x:";
  const canvas = words.parentNode.insertBefore(document.createElement("canvas"), words.nextSibling);
  canvas.className = "slices";
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Middle slices of the map");
  drawSlices(canvas, values, Number(figure.dataset.box));
}

async function showMap(figure) {
  let values = null;
  try {
    values = await unpacked(document.getElementById(figure.dataset.map).textContent);
    const colours = document.getElementById(`${figure.dataset.map}-colours`);
    figure.viewer = new MapViewer(figure, values, colours && await unpacked(colours.textContent));
  } catch (error) {
    showSlices(figure, values, error.message);
  }
}
