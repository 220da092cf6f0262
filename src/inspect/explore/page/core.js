// The data of the page, what is chosen on it, and small helpers for the document.
"use strict";
const $ = (id) => document.getElementById(id);

// The page's own tape; the other step and the lessons are read when they are asked for.
const whole = JSON.parse($("data").textContent);
for (const name of ["other", "lessons"]) {
  let read;
  Object.defineProperty(whole, name, { get: () => (read ??= { it: JSON.parse($(name).textContent) }).it });
}
const compared = whole.changes.length > 0;
const taught = $("lessons").textContent.length > 2;

// What is shown: a tape (the page's own or a lesson's) and everything that the reader has chosen.
const state = {
  tape: null,
  lesson: -1,
  position: 0,
  row: null,
  fold: "none",
  closed: new Set(),
  // Groups that are open only because the chosen row is in them.
  opened: new Set(),
  query: "",
  predict: false,
  tab: "statement",
};

const listeners = [];
// Registers what is drawn again when something changes: a function of the set of changed names.
function onChange(f) {
  listeners.push(f);
}
function change(values) {
  const changed = new Set(Object.keys(values).filter((k) => state[k] !== values[k]));
  Object.assign(state, values);
  if (changed.size) for (const f of listeners) f(changed);
}

const TABS = ["statement", "graph", "source", "memory", ...(taught ? ["lessons"] : []), ...(compared ? ["changes"] : [])];
// First of all, so that what is drawn into a panel has its size.
onChange((changed) => changed.has("tab") && showTab());

function showTab() {
  for (const name of TABS) {
    const on = name === state.tab;
    $(`tab-${name}`).setAttribute("aria-selected", String(on));
    $(`tab-${name}`).tabIndex = on ? 0 : -1;
    $(`panel-${name}`).hidden = !on;
  }
}

// An element: make("td", {class: "num"}, "text", child, …). Functions are listeners, null children are left out.
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "rect", "circle", "line", "g", "text", "title", "polyline"].includes(tag);
  const node = svg && tag !== "title"
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(3)) {
    if (child !== null && child !== undefined) node.append(child);
  }
  return node;
}

function fill(node, ...children) {
  node.replaceChildren(...children.flat(3).filter((c) => c !== null && c !== undefined));
}

// A number as the data has it: not finite ones are strings.
function number(v) {
  if (typeof v === "number") return v;
  return { NaN: NaN, inf: Infinity, "-inf": -Infinity }[v];
}

// The indexes that the rest of the page needs, made once for each tape.
function prepare(tape) {
  if (tape.byId) return tape;
  tape.byId = new Map(tape.rows.map((row) => [row.id, row]));
  tape.users = new Map(tape.rows.map((row) => [row.id, []]));
  for (const row of tape.rows) {
    row.reads = row.arguments.filter((a) => a.id !== undefined).map((a) => a.id);
    for (const id of new Set(row.reads)) tape.users.get(id)?.push(row.id);
    row.leaf = row.arguments.length === 0;
    row.scalar = row.shape === null;
  }
  tape.gives = new Map();
  tape.gets = new Map();
  for (const flow of tape.flows) {
    flow.index = tape.gets.get(flow.to)?.length ?? 0;
    // The only contribution to an adjoint is the adjoint.
    flow.value ??= tape.byId.get(flow.to).adjoint;
    for (const [map, key] of [[tape.gives, flow.from], [tape.gets, flow.to]]) {
      if (!map.has(key)) map.set(key, []);
      map.get(key).push(flow);
    }
  }
  prepareSteps(tape);
  prepareBadges(tape);
  return tape;
}

function prepareBadges(tape) {
  const seed = tape.seed;
  const strange = (p) => p && (p.strange > 0 || (p.first.length === 1 && !isFinite(number(p.first[0]))));
  const firstValue = tape.rows.find((r) => strange(r.value));
  const swept = seed ? [...tape.rows].reverse().find((r) => strange(r.adjoint)) : null;
  const largest = tape.rows.filter((r) => r.bytes > 0 && !r.scalar).sort((a, b) => b.bytes - a.bytes).slice(0, 3);
  for (const row of tape.rows) {
    row.badges = [];
    const add = (kind, text, why) => row.badges.push({ kind, text, why });
    if (row.id === seed) add("seed", "result", "The sweep begins here, with adjoint 1.");
    const dead = seed && (row.adjoint === null || (row.scalar && number(row.adjoint.first[0]) === 0 && row.id !== seed));
    row.dead = Boolean(dead);
    if (dead) add("dead", "dead", "Its adjoint is never used: the result doesn't depend on it, or with derivative 0.");
    if (row.kinks > 0) {
      const n = row.shape ? row.shape.reduce((a, b) => a * b, 1) : 1;
      add("kink", row.kinks > 1 ? `kink ×${row.kinks}` : "kink",
        `At ${row.kinks} of ${n} elements the function has no derivative; the rule takes a subgradient.`);
    }
    if (row === firstValue) add("nan", "first NaN or ∞", "The first value that is not finite.");
    if (row === swept && row !== firstValue) add("nan", "adjoint not finite", "The first adjoint in the sweep that is not finite.");
    const place = largest.indexOf(row);
    if (place >= 0) add("big", `${bytes(row.bytes)} kept`, `Number ${place + 1} of the largest tensors kept for the sweep.`);
    if (row.arguments.some((a) => a.constant !== undefined)) {
      add("constant", "constant", "An operand is a constant: no gradient goes to it.");
    }
  }
}
