// Beside the rows: the program's source with its costs, the memory curve, and the lessons.
onChange((changed) => {
  const at = (...names) => names.some((n) => changed.has(n));
  if (state.tab === "source" && at("tape", "tab", "row", "position")) drawSource(at("tape", "tab"));
  if (state.tab === "memory" && at("tape", "tab", "position")) drawMemory();
  if (state.tab === "lessons" && at("tape", "tab")) drawLessons();
});

function costs(tape) {
  if (tape.costs) return tape.costs;
  tape.costs = new Map();
  for (const row of tape.rows) {
    if (!row.site) continue;
    const key = lineKey(row);
    const c = tape.costs.get(key) ?? { rows: [], nanos: 0, bytes: 0, square: 0 };
    c.rows.push(row);
    c.nanos += row.nanos + row.backward_nanos;
    c.bytes += row.bytes;
    // Of parameters and inputs; of a line without, of what it computes.
    if (row.adjoint && row.leaf) c.square += number(row.adjoint.norm) ** 2;
    tape.costs.set(key, c);
  }
  for (const c of tape.costs.values()) {
    if (!c.square && c.rows.at(-1).adjoint) c.square = number(c.rows.at(-1).adjoint.norm) ** 2;
  }
  return tape.costs;
}

function drawSource(anew) {
  const tape = state.tape;
  const all = costs(tape);
  const most = (f) => Math.max(...[...all.values()].map(f), 1e-300);
  const [nanos, memory, square] = [most((c) => c.nanos), most((c) => c.bytes), most((c) => c.square)];
  const here = tape.byId.has(state.row) ? lineKey(tape.byId.get(state.row)) : "";
  const cell = (share, text) => make("td", { class: "cost", style: `--share:${share.toFixed(3)}` }, text);
  const blocks = tape.sources.map((source, i) => {
    const known = new Map(source.lines);
    const lines = source.lines.length ? source.lines : [...all.keys()].filter((k) => k.startsWith(`${i}:`)).map((k) => [Number(k.split(":")[1]), ""]).sort((a, b) => a[0] - b[0]);
    let last = 0;
    const body = lines.flatMap(([n, text]) => {
      const gap = last && n > last + 1 ? [make("tr", { class: "gap" }, make("td", { colspan: 5 }, "⋯"))] : [];
      last = n;
      const key = `${i}:${n}`;
      const c = all.get(key);
      const pick = c ? () => choose(c.rows[0].id) : null;
      return [...gap, make("tr", { class: `${c ? "active" : ""}${key === here ? " here" : ""}`, click: pick },
        make("th", { scope: "row" }, String(n)), make("td", { class: "code" }, c ? make("button", { class: "code-line", title: plural(c.rows.length, "row") }, text || plural(c.rows.length, "row")) : text),
        c ? cell(c.nanos / nanos, c.nanos ? time(c.nanos) : "") : make("td"),
        c ? cell(c.bytes / memory, c.bytes ? bytes(c.bytes) : "") : make("td"),
        c ? cell(Math.sqrt(c.square / square), c.square ? short(Math.sqrt(c.square)) : "") : make("td"))];
    });
    return [make("h3", {}, source.file), known.size ? null : make("p", { class: "note" }, "The file could not be read where the page was written; these are its lines."),
      make("div", { class: "scroll" }, make("table", { class: "source" }, make("thead", {}, make("tr", {}, make("th", {}, ""), make("th", {}, ""), make("th", { scope: "col" }, "time"), make("th", { scope: "col" }, "kept"), make("th", { scope: "col" }, "grad"))), make("tbody", {}, body)))];
  });
  const panel = $("panel-source");
  const top = panel.scrollTop;
  fill(panel, make("p", { class: "note" }, "Time of value and rule, bytes kept for the sweep, norm of the gradient of each line."), ...blocks.flat());
  panel.scrollTop = top;
  const line = panel.querySelector(".here");
  if (line) {
    const [a, b] = [line.getBoundingClientRect(), panel.getBoundingClientRect()];
    if (anew || a.top < b.top || a.bottom > b.bottom) panel.scrollTop += a.top - b.top - panel.clientHeight / 2;
  }
}

// What is in use after each position of the play head.
function curveOf(tape) {
  if (tape.curve) return tape.curve;
  const up = [0, ...tape.rows.map((row) => row.memory)];
  if (!tape.seed) return (tape.curve = up);
  const seed = tape.byId.get(tape.seed);
  const down = tape.sweep.map((row) => row.swept);
  return (tape.curve = [...up, up.at(-1) + (seed.shape ? size(seed.value ?? { shape: [] }) * (tape.dtype === "f64" ? 8 : 4) : 0), ...down]);
}

// The most in use on the way to each position: more than before and after where a block runs again.
function peaksOf(tape) {
  const curve = curveOf(tape);
  const first = curve.length - tape.sweep.length;
  return curve.map((bytes, i) => Math.max(bytes, i < first ? 0 : curve[i - 1] + tape.sweep[i - first].again));
}

// The curve as a path; where several positions fall together, the largest of them.
function outlineOf(curve, peaks, x, y, base) {
  const most = 800;
  const each = Math.max(1, Math.ceil(curve.length / most));
  let d = `M${x(0)} ${base}`;
  for (let i = 0; i < curve.length; i += each) {
    const [most, peak] = [curve, peaks].map((of) => Math.max(...of.slice(i, i + each)));
    if (peak > most) d += `L${x(i - 0.5).toFixed(1)} ${y(peak).toFixed(1)}`;
    d += `L${x(i).toFixed(1)} ${y(most).toFixed(1)}`;
  }
  return d;
}

function drawMemory() {
  const tape = state.tape;
  const curve = curveOf(tape);
  const peaks = (tape.peaks ??= peaksOf(tape));
  const top = peaks.reduce((a, b) => Math.max(a, b), 1);
  const [w, h, left, base] = [400, 220, 8, 196];
  const x = (i) => left + (i / (curve.length - 1 || 1)) * (w - 2 * left);
  const y = (b) => base - (b / top) * (base - 24);
  tape.outline ??= outlineOf(curve, peaks, x, y, base);
  const d = tape.outline;
  const n = tape.rows.length;
  const p = state.position;
  const to = (e) => {
    const box = svg.getBoundingClientRect();
    moveTo(Math.round((((e.clientX - box.left) / box.width) * w - left) / (w - 2 * left) * (curve.length - 1)));
  };
  const peak = peaks.indexOf(top);
  const svg = make("svg", { class: "memory", viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": `Memory: up to ${bytes(top)}, now ${bytes(curve[p])}`, click: to },
    make("path", { class: "area", d: `${d}L${x(curve.length - 1)} ${base}Z` }), make("path", { class: "outline", d }),
    tape.seed ? make("line", { class: "turn", x1: x(n), x2: x(n), y1: 12, y2: base }) : null,
    make("line", { class: "now", x1: x(p), x2: x(p), y1: 12, y2: base }), make("circle", { class: "now", cx: x(p), cy: y(curve[p]), r: 4 }),
    make("text", { x: x(0), y: h - 8 }, "recording →"), tape.seed ? make("text", { x: w - left, y: h - 8, "text-anchor": "end" }, "← sweep over") : null,
    make("text", { x: Math.min(Math.max(x(peak), 50), w - 50), y: 12, "text-anchor": "middle" }, `${bytes(top)} at most`));
  const largest = tape.rows.filter((r) => r.bytes && !r.scalar).sort((a, b) => b.bytes - a.bytes).slice(0, 8);
  const total = tape.rows.reduce((s, r) => s + r.bytes, 0) || 1;
  fill($("panel-memory"),
    make("p", { class: "note" }, "Bytes kept for the sweep, and adjoints; without parameters, as they would be if nothing were observed. What is left at the end are gradients. A spike is a block that runs again, with what its own tape holds. Click to move the play head."),
    svg, make("p", {}, "Now ", make("b", {}, bytes(curve[p])), "."),
    largest.length ? section("Largest kept", make("table", { class: "list" }, make("tbody", {}, largest.map((r) => make("tr", {},
      make("td", {}, refer(r.id)), make("td", {}, r.op), make("td", {}, keptText(r)), make("td", { class: "num" }, `${Math.round((100 * r.bytes) / total)} %`)))))) : null);
}

function drawLessons() {
  const here = state.lesson;
  const lesson = whole.lessons[here];
  const list = make("ol", { class: "lessons" }, whole.lessons.map((l, i) => make("li", {},
    make("button", { class: "lesson", "aria-current": i === here ? "true" : null, click: () => openLesson(i) }, l.tape.title))));
  const text = (paragraph) => make("p", {}, paragraph.split(/(%\d+)/).map((part) => (/^%\d+$/.test(part) ? refer(Number(part.slice(1))) : part)));
  const read = lesson ? make("article", { class: "lesson-text" },
    make("h2", {}, `${here + 1}. ${lesson.tape.title}`), lesson.text.map(text),
    make("p", { class: "buttons" },
      make("button", { click: () => openLesson(-1) }, "Back to the tape of this page"),
      here + 1 < whole.lessons.length ? make("button", { class: "primary", click: () => openLesson(here + 1) }, "Next lesson") : null)) : make("p", { class: "note" }, "Each lesson has a small tape of its own, recorded when this page was written. It takes the place of the page's tape until you come back.");
  fill($("panel-lessons"), read, list);
}

function openLesson(i) {
  openTape(i < 0 ? whole.tape : whole.lessons[i].tape, i);
  $("panel-lessons").scrollTop = 0;
}
