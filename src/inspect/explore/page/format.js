// Numbers, shapes, bytes and times as text.
const SUB = "₀₁₂₃₄₅₆₇₈₉";
const subscript = (n) => [...String(n)].map((d) => SUB[d]).join("");
const v = (id) => `v${subscript(id)}`;
const vbar = (id) => `v̄${subscript(id)}`;

// Five digits, as short as they go.
function short(x) {
  x = number(x);
  if (x === undefined || x === null) return "–";
  if (Number.isNaN(x)) return "NaN";
  if (!isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const text = size >= 1e5 || size < 1e-4
    ? x.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e")
    : String(Number(x.toPrecision(5)));
  return text.replace("-", "−");
}

// Three digits, for narrow places.
const brief = (x) => (Number.isFinite(number(x)) ? short(Number(number(x).toPrecision(3))) : short(x));

// All digits.
const exact = (x) => {
  x = number(x);
  return Number.isFinite(x) ? String(x).replace("-", "−") : short(x);
};

const shapeText = (shape) => (shape === null || shape === undefined ? "number" : `[${shape.join(", ")}]`);

function bytes(n) {
  if (n < 1000) return `${n} B`;
  if (n < 1e6) return `${Number((n / 1e3).toPrecision(3))} kB`;
  return `${Number((n / 1e6).toPrecision(3))} MB`;
}

function time(ns) {
  if (!ns) return "–";
  if (ns < 1e3) return `${ns} ns`;
  if (ns < 1e6) return `${Number((ns / 1e3).toPrecision(3))} µs`;
  return `${Number((ns / 1e6).toPrecision(3))} ms`;
}

// A number of more than one element in a word: its size.
const size = (picture) => picture.shape.reduce((a, b) => a * b, 1);
const isNumber = (picture) => size(picture) === 1;

// A picture as words, for screen readers and titles.
function words(picture) {
  if (!picture) return "nothing";
  if (isNumber(picture)) return short(picture.first[0]);
  const strange = picture.strange ? `, ${picture.strange} not finite` : "";
  return `${shapeText(picture.shape)} from ${short(picture.min)} to ${short(picture.max)}, mean ${short(picture.mean)}${strange}`;
}

// The statement as the listing prints it, without its type.
function statementText(row) {
  const parts = row.arguments.map((a) => (a.id !== undefined ? `%${a.id}` : constantText(a)));
  if (row.options) parts.push(row.options);
  return `${row.op}${parts.length ? `(${parts.join(", ")})` : ""}`;
}

function constantText(argument) {
  const c = argument.constant;
  if (!c) return "const";
  return isNumber(c) ? short(c.first[0]) : `const ${shapeText(c.shape)}`;
}

const lineText = (tape, row) => (row.site ? `${fileName(tape.sources[row.site[0]].file)}:${row.site[1]}` : "");
const lineKey = (row) => (row.site ? `${row.site[0]}:${row.site[1]}` : "");
const fileName = (path) => path.split(/[\\/]/).pop().replace(/\.rs$/, "");
const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
