// Pictures of the run: two curves along its epochs, and files as points of bytes and accuracy.
const [H, LEFT, RIGHT, TOP, BASE] = [190, 44, 12, 22, 164];
// As wide as its place, so that words have the same size everywhere.
let W = 520;

function show(id, label, inside) {
  W = Math.max(260, $(id).clientWidth || W);
  $(id).replaceChildren(make("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": label }, ...inside()));
}

function line(x1, y1, x2, y2, kind = "grid") {
  return make("line", { x1, y1, x2, y2, class: kind });
}

function word(x, y, text, anchor = "middle", kind = "") {
  return make("text", { x, y, "text-anchor": anchor, class: kind }, text);
}

const along = (epoch) => LEFT + ((W - LEFT - RIGHT) * epoch) / (run.samples?.epochs || 1);

// The stages as stretches of the axis.
function stretches() {
  const stages = run.samples?.stages ?? [];
  const ends = [...stages.slice(1).map(([, at]) => at), run.samples?.epochs ?? 1];
  return stages.flatMap(([stage, at], i) => [
    i ? line(along(at), TOP - 8, along(at), BASE, "stage") : null,
    word((along(at) + along(ends[i])) / 2, TOP - 10, TITLES[stage]),
  ]);
}

function curve(id, label, value, y, ticks) {
  const points = () => run.epochs.map((e) => `${along(e.done).toFixed(1)},${y(value(e)).toFixed(1)}`).join(" ");
  const last = run.epochs.at(-1);
  show(id, label, () => [
    ticks.flatMap(([at, text]) => [line(LEFT, y(at), W - RIGHT, y(at)), word(LEFT - 6, y(at) + 4, text, "end")]),
    stretches(),
    word(along(0), H - 8, "0", "start"), word(W - RIGHT, H - 8, `${run.samples?.epochs ?? ""} epochs`, "end"),
    last ? make("polyline", { points: points(), class: "curve" }) : null,
    last ? make("circle", { cx: along(last.done), cy: y(value(last)), r: 3.5, class: "dot" }) : null]);
}

function drawCurves() {
  const last = run.epochs.at(-1);
  const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
  const log = (v) => BASE - ((BASE - TOP) * (Math.log10(clamp(v, 0.01, 10)) + 2)) / 3;
  curve("loss", last ? `Loss: ${last.loss.toPrecision(3)} after ${last.done} epochs` : "Loss: nothing yet", (e) => e.loss, log,
    [[0.01, "0.01"], [0.1, "0.1"], [1, "1"], [10, "10"]]);
  const share = (v) => BASE - ((BASE - TOP) * (clamp(v, 0.8, 1) - 0.8)) / 0.2;
  curve("accuracy", last ? `Accuracy: ${percent(last.accuracy)} after ${last.done} epochs` : "Accuracy: nothing yet", (e) => e.accuracy, share,
    [[0.8, "≤ 80"], [0.9, "90"], [1, "100"]]);
}

// The floats that a program would hold, then each stage's file.
function points() {
  const dense = run.files[0];
  if (!dense) return [];
  const floats = { name: "floats", bytes: 4 * dense.parameters, accuracy: dense.accuracy };
  return [floats, ...run.files.map((f) => ({ ...f, name: `${NAMES[f.stage]} file` }))];
}

function drawBytes() {
  const all = points();
  const [low, high] = [500, 100000];
  const x = (b) => LEFT + ((W - LEFT - 70) * Math.log(b / low)) / Math.log(high / low);
  // Room below the lowest point for its name.
  const worst = Math.min(0.95, ...all.map((p) => Math.floor(p.accuracy * 50 - 0.5) / 50));
  const y = (a) => BASE - ((BASE - TOP) * (a - worst)) / (1 - worst);
  const ticks = [];
  for (let a = worst; a < 1.0001; a += (1 - worst) / 2) ticks.push(a);
  const label = all.length ? all.map((p) => `${p.name}: ${grouped(p.bytes)} bytes, ${percent(p.accuracy)}`).join("; ") : "No file yet";
  show("bytes", label, () => [
    ticks.flatMap((a) => [line(LEFT, y(a), W - RIGHT, y(a)), word(LEFT - 6, y(a) + 4, `${(100 * a).toFixed(worst === 0.95 ? 1 : 0)}`, "end")]),
    [1000, 10000, 100000].flatMap((b) => [line(x(b), TOP, x(b), BASE), word(x(b), H - 8, b < 1e5 ? grouped(b) : "100,000 bytes")]),
    all.length > 1 ? make("polyline", { points: all.map((p) => `${x(p.bytes)},${y(p.accuracy)}`).join(" "), class: "curve" }) : null,
    all.flatMap((p, i) => [
      make("circle", { cx: x(p.bytes), cy: y(p.accuracy), r: 5, class: "dot" }),
      word(x(p.bytes), y(p.accuracy) + (i % 2 ? -10 : 20), p.name, "middle", "point"),
    ])]);
}
