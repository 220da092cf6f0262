// The pad: strokes become 8 × 8 pixels in the way in which the training images were made. There, a digit fills the
// height of 32 × 32 dots, of which 4 × 4 make a pixel.
const DOTS = 32;
const PEN = 3.6;
const strokes = [];
const pen = { x: 0.5, y: 0.2, down: false, shown: false };
const dots = Object.assign(document.createElement("canvas"), { width: DOTS, height: DOTS }).getContext("2d", { willReadFrequently: true });
let shown = null;

function drawPad() {
  const pad = $("pad");
  const g = pad.getContext("2d");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  g.clearRect(0, 0, pad.width, pad.height);
  if (shown) drawPixels(pad, shown);
  g.strokeStyle = colour("--text");
  g.lineWidth = 18;
  g.lineCap = g.lineJoin = "round";
  trace(g, (p) => [p.x * pad.width, p.y * pad.height]);
  if (pen.shown) {
    g.strokeStyle = pen.down ? colour("--back") : colour("--value");
    g.lineWidth = 2;
    g.beginPath();
    g.arc(pen.x * pad.width, pen.y * pad.height, 11, 0, 7);
    g.stroke();
  }
}

function trace(g, place) {
  for (const stroke of strokes) {
    g.beginPath();
    g.moveTo(...place(stroke[0]));
    // A dot is a short line.
    const rest = stroke.length > 1 ? stroke.slice(1) : [{ x: stroke[0].x + 1e-3, y: stroke[0].y }];
    for (const p of rest) g.lineTo(...place(p));
    g.stroke();
  }
}

// What is on the pad, as 64 numbers from 0 to 1.
function pixels() {
  if (shown) return shown.map((v) => v / 16);
  const all = strokes.flat();
  const [left, right] = [Math.min(...all.map((p) => p.x)), Math.max(...all.map((p) => p.x))];
  const [top, base] = [Math.min(...all.map((p) => p.y)), Math.max(...all.map((p) => p.y))];
  const room = DOTS - PEN - 1;
  // As high as can be, and squeezed where it would be too wide.
  const scale = room / Math.max(base - top, (right - left) / 2, 0.1);
  const across = Math.min(scale, (room * 0.72) / Math.max(right - left, 1e-3));
  const [x, y] = [(left + right) / 2, (top + base) / 2];
  dots.clearRect(0, 0, DOTS, DOTS);
  dots.lineWidth = PEN;
  dots.lineCap = dots.lineJoin = "round";
  trace(dots, (p) => [DOTS / 2 + (p.x - x) * across, DOTS / 2 + (p.y - y) * scale]);
  const ink = dots.getImageData(0, 0, DOTS, DOTS).data;
  return Array.from({ length: 64 }, (_, k) => {
    let on = 0;
    for (let i = 0; i < 16; i++) {
      const [row, column] = [4 * (k >> 3) + (i >> 2), 4 * (k & 7) + (i & 3)];
      on += ink[4 * (row * DOTS + column) + 3] > 127;
    }
    return on / 16;
  });
}

// 64 numbers from 0 to 16 as squares.
function drawPixels(canvas, values) {
  const g = canvas.getContext("2d");
  const side = canvas.width / 8;
  g.clearRect(0, 0, canvas.width, canvas.height);
  g.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--text");
  values.forEach((v, k) => {
    g.globalAlpha = v / 16;
    g.fillRect((k & 7) * side, (k >> 3) * side, side, side);
  });
  g.globalAlpha = 1;
}

const empty = () => !shown && !strokes.length;

function clearPad() {
  strokes.length = 0;
  shown = null;
  pen.down = false;
  padChanged();
}

function showOnPad(image) {
  strokes.length = 0;
  shown = image;
  padChanged();
}

function padChanged() {
  drawPad();
  const values = empty() ? Array(64).fill(0) : pixels();
  drawPixels($("seen"), values.map((v) => 16 * v));
  $("pad").setAttribute("aria-label", `Drawing pad, ${empty() ? "empty" : shown ? "a test image" : `${strokes.length} strokes`}. Arrow keys move the pen, space puts it down and lifts it, Backspace clears.`);
  askReading(empty() ? null : values);
}

function addPoint(p, begins) {
  if (shown) clearPad();
  if (begins || !strokes.length) strokes.push([p]);
  else strokes.at(-1).push(p);
}

function connectPad() {
  const pad = $("pad");
  const place = (e) => {
    const box = pad.getBoundingClientRect();
    return { x: (e.clientX - box.left) / box.width, y: (e.clientY - box.top) / box.height };
  };
  let drawing = false;
  pad.addEventListener("pointerdown", (e) => {
    drawing = true;
    pen.shown = false;
    try {
      pad.setPointerCapture(e.pointerId);
    } catch {
      // A pointer that is gone already can't be held.
    }
    addPoint(place(e), true);
    padChanged();
  });
  pad.addEventListener("pointermove", (e) => {
    if (!drawing) return;
    addPoint(place(e), false);
    padChanged();
  });
  for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => (drawing = false));
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  pad.addEventListener("keydown", (e) => {
    const by = moves[e.key];
    if (by) {
      [pen.x, pen.y] = [pen.x + by[0] / 20, pen.y + by[1] / 20].map((v) => Math.min(Math.max(v, 0.05), 0.95));
      if (pen.down) addPoint({ x: pen.x, y: pen.y }, false);
    } else if (e.key === " ") {
      pen.down = !pen.down;
      if (pen.down) addPoint({ x: pen.x, y: pen.y }, true);
    } else if (e.key === "Backspace") clearPad();
    else return;
    pen.shown = true;
    e.preventDefault();
    padChanged();
  });
  pad.addEventListener("blur", () => {
    pen.shown = pen.down = false;
    drawPad();
  });
  $("clear").addEventListener("click", clearPad);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", padChanged);
}

// Ten bars, and in words what is most likely.
function drawReading(classes) {
  const best = classes ? classes.indexOf(Math.max(...classes)) : -1;
  $("bars").replaceChildren(...Array.from({ length: 10 }, (_, k) => make("div", { class: k === best ? "best" : "" },
    make("span", {}, String(k)), make("i", { style: `--share:${classes ? classes[k].toFixed(3) : 0}` }),
    make("span", { class: "share" }, classes ? `${Math.round(100 * classes[k])} %` : ""))));
  $("reading").textContent = classes ? `It is read as ${best}, with ${Math.round(100 * classes[best])} %.` : "";
}
