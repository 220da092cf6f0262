// A tensor in a row: a number, a line with its range, or a heat map. Colours are relative to the largest size in it.
function drawPicture(picture, { wide = 96, high = 22 } = {}) {
  if (!picture) return make("span", { class: "none" }, "·");
  if (isNumber(picture)) return make("span", { class: "number", title: exact(picture.first[0]) }, short(picture.first[0]));
  const svg = picture.rows ? heat(picture, wide, high) : spark(picture, wide, high);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", words(picture));
  const range = picture.strange
    ? make("span", { class: "range strange" }, `${picture.strange} not finite`)
    : make("span", { class: "range" }, `${brief(picture.min)}…${brief(picture.max)}`);
  return make("span", { class: "picture", title: pictureTitle(picture) }, svg, range);
}

function pictureTitle(picture) {
  const first = picture.first.map(exact).join(", ");
  const more = size(picture) > picture.first.length ? ", …" : "";
  return `${words(picture)}, norm ${short(picture.norm)}\n${first}${more}`;
}

// One path for each of 17 colours keeps the document small.
function heat(picture, wide, high) {
  const rows = picture.rows;
  const columns = picture.points.length / rows;
  const paths = new Map();
  // A letter for each cell: i is 0, a to q are eighths of the largest size.
  [...picture.points].forEach((letter, k) => {
    const level = letter === "!" ? "nan" : letter.charCodeAt(0) - 105;
    const [i, j] = [Math.floor(k / columns), k % columns];
    paths.set(level, `${paths.get(level) ?? ""}M${j} ${i}h1v1h-1z`);
  });
  const width = Math.max(18, Math.min(wide, columns * 6));
  const svg = make("svg", {
    class: "heat", viewBox: `0 0 ${columns} ${rows}`, width, height: high,
    preserveAspectRatio: "none", "shape-rendering": "crispEdges",
  });
  for (const [level, d] of paths) svg.append(make("path", { d, class: heatClass(level) }));
  return svg;
}

const heatClass = (level) => (level === "nan" ? "h-nan" : level < 0 ? `hn${-level}` : `hp${level}`);

function spark(picture, wide, high) {
  const values = picture.points.map(number);
  const finite = values.filter(Number.isFinite);
  const low = Math.min(0, ...finite);
  const top = Math.max(0, ...finite);
  const y = (x) => 2 + (high - 4) * (1 - (x - low) / (top - low || 1));
  const svg = make("svg", { class: "spark", viewBox: `0 0 ${wide} ${high}`, width: wide, height: high });
  svg.append(make("line", { x1: 0, x2: wide, y1: y(0), y2: y(0), class: "axis" }));
  if (values.length <= 16) {
    const step = wide / values.length;
    values.forEach((x, k) => {
      if (!Number.isFinite(x)) {
        svg.append(make("rect", { x: k * step + 1, width: step - 2, y: 0, height: high, class: "h-nan" }));
        return;
      }
      const [a, b] = [y(Math.max(x, 0)), y(Math.min(x, 0))];
      svg.append(make("rect", {
        x: k * step + 1, width: Math.max(1, step - 2), y: a, height: Math.max(1, b - a), class: x < 0 ? "bar neg" : "bar",
      }));
    });
  } else {
    const points = values.map((x, k) => (Number.isFinite(x) ? `${(k / (values.length - 1)) * wide},${y(x).toFixed(1)}` : ""));
    svg.append(make("polyline", { points: points.filter(Boolean).join(" "), class: "curve" }));
  }
  return svg;
}
