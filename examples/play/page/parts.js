// Small helpers for the document, and what the run has told so far.
"use strict";
const $ = (id) => document.getElementById(id);

const SVG = new Set(["svg", "g", "path", "line", "rect", "circle", "text", "polyline"]);
// An element with attributes and children; functions are listeners.
function make(tag, attributes = {}, ...children) {
  const node = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return node;
}

const grouped = (n) => n.toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const seconds = (ms) => `${(ms / 1000).toFixed(ms < 9950 ? 2 : 1)} s`;
const TITLES = { train: "train", prune: "prune", quantise: "share values" };
const NAMES = { train: "dense", prune: "pruned", quantise: "shared values" };

const run = { samples: null, epochs: [], files: [], spent: {}, answers: [], file: null };

function forget() {
  Object.assign(run, { samples: null, epochs: [], files: [], spent: {}, answers: [], file: null });
}
