// The tape as rows. What could be shown is a list; of a long one only what is near the visible part is in the document.
let lines = new Map();
// What the list holds: groups and rows, where each row stands, and how high each is, as far as it has been seen.
const view = { items: [], at: new Map(), heights: [], known: new Map(), from: 0, to: 0, nodes: new Map() };
// Lists up to this length are in the document as a whole; of longer ones so many pixels around the visible part are.
const WHOLE = 250;
const AROUND = 600;
const USUAL = 40;

onChange((changed) => {
  if (["tape", "fold", "closed", "opened", "query"].some((k) => changed.has(k))) buildTable(changed.has("tape"));
  else if (changed.has("position") || changed.has("predict")) refreshTable();
  if (changed.has("row") || changed.has("position") || changed.has("tape")) markRow();
});

function buildTable(anew) {
  const tape = state.tape;
  if (anew) view.known.clear();
  const hits = state.query.trim() ? new Set(tape.rows.filter(matchesQuery)) : null;
  const items = [];
  const place = (list, depth) => {
    for (const item of list) {
      if (item.items) {
        if (hits && !item.rows.some((row) => hits.has(row))) continue;
        const open = !state.closed.has(item.key) || state.opened.has(item.key) || hits !== null;
        items.push({ group: item, depth, open });
        if (open) place(item.items, depth + 1);
      } else if (!hits || hits.has(item)) items.push({ row: item, depth });
    }
  };
  place(groupsOf(tape, state.fold), 0);
  view.items = items;
  view.at = new Map(items.flatMap((item, i) => (item.row ? [[item.row.id, i]] : [])));
  view.heights = items.map((item) => view.known.get(keyOf(item)) ?? USUAL);
  view.nodes = new Map();
  lines = new Map();
  $("tape").classList.toggle("numbers-only", tape.rows.every((row) => row.scalar));
  $("statements").setAttribute("aria-rowcount", items.length + 1);
  $("found").textContent = hits ? `${hits.size} of ${tape.rows.length}` : "";
  showWindow(true);
  markRow();
}

const keyOf = (item) => item.row?.id ?? item.group.key;

const heightOf = (from, to) => {
  let sum = 0;
  for (let i = from; i < to; i++) sum += view.heights[i];
  return sum;
};

// The item at a height from the top of the list.
function itemAt(top) {
  let i = 0;
  for (let y = 0; i < view.items.length && y + view.heights[i] <= top; i++) y += view.heights[i];
  return i;
}

// Puts what is near the visible part into the document. What is seen stays where it is, although heights of what is
// above become known only now.
function showWindow(anew = false) {
  const box = $("tape");
  const n = view.items.length;
  const top = box.scrollTop;
  const whole = n <= WHOLE;
  const from = whole ? 0 : itemAt(top - AROUND);
  const to = whole ? n : Math.min(n, itemAt(top + box.clientHeight + AROUND) + 1);
  if (!anew && from === view.from && to === view.to) return;
  const anchor = itemAt(top);
  const before = heightOf(0, anchor);
  const focused = $("rows").contains(document.activeElement) ? document.activeElement : null;
  const nodes = new Map();
  lines = new Map();
  for (let i = from; i < to; i++) {
    const node = view.nodes.get(i) ?? itemNode(view.items[i], i);
    nodes.set(i, node);
    if (node.line) lines.set(view.items[i].row.id, node.line);
  }
  Object.assign(view, { from, to, nodes });
  fill($("rows"), spacer(heightOf(0, from)), n ? [...nodes.values()].map((node) => node.element) : nothingFound(), spacer(heightOf(to, n)));
  refreshTable();
  if (!whole) {
    for (const [i, node] of nodes) {
      view.heights[i] = node.element.getBoundingClientRect().height || USUAL;
      view.known.set(keyOf(view.items[i]), view.heights[i]);
    }
    $("rows").firstElementChild.firstElementChild.style.height = `${heightOf(0, from)}px`;
    const moved = heightOf(0, anchor) - before;
    if (moved) box.scrollTop = top + moved;
  }
  // Who was on a row that is out of sight stays with the table.
  if (focused?.isConnected) focused.focus({ preventScroll: true });
  else if (focused) box.focus({ preventScroll: true });
}

const nothingFound = () => make("tr", {}, make("td", { class: "none", colspan: 7 },
  "No row has this in its name, operation, options, shape, layer, line or badges."));

const spacer = (height) => make("tr", { class: "spacer", "aria-hidden": "true" }, make("td", { style: `height:${height}px` }));

function itemNode(item, i) {
  const line = item.row ? rowLine(state.tape, item.row, item.depth) : null;
  const element = line ? line.node : groupLine(item.group, item.depth, item.open);
  element.setAttribute("aria-rowindex", i + 2);
  return { element, line };
}

function groupLine(g, depth, open) {
  const tape = state.tape;
  const sum = (f) => g.rows.reduce((s, r) => s + f(r), 0);
  const norm = Math.sqrt(sum((r) => (r.name && r.adjoint ? number(r.adjoint.norm) ** 2 : 0)));
  const facts = [plural(g.rows.length, "row"), `${bytes(sum((r) => r.bytes))} kept`];
  const spent = sum((r) => r.nanos + r.backward_nanos);
  if (spent) facts.push(time(spent));
  if (norm) facts.push(`gradient ${short(norm)}`);
  const toggle = () => {
    const closed = new Set(state.closed);
    if (open) closed.add(g.key);
    else closed.delete(g.key);
    change({ closed, opened: new Set() });
    $("rows").querySelector(`[data-group="${CSS.escape(g.key)}"]`)?.focus();
  };
  const button = make("button", { class: "fold", "data-group": g.key, "aria-expanded": String(open), click: toggle, style: `--depth:${depth}` },
    make("span", { class: "arrow", "aria-hidden": "true" }, open ? "▾" : "▸"),
    make("span", { class: "fold-title" }, g.title));
  const empty = ["shape", "value", "rule", "adjoint", "kept"].map((name) => make("td", { class: name }));
  return make("tr", { class: "group" }, make("td", { colspan: 2 }, button, make("span", { class: "group-facts" }, facts.join(" · "))), empty);
}

function rowLine(tape, row, depth) {
  const cells = {
    value: make("td", { class: "value" }),
    adjoint: make("td", { class: "adjoint" }),
  };
  const pick = () => change({ row: row.id, tab: "statement" });
  const spoken = `Row ${row.id}, ${row.op}${row.name ? ` ${row.name}` : ""}`;
  const node = make("tr", { class: "row", id: `row-${row.id}`, "aria-label": spoken, tabindex: "-1", click: pick, dblclick: () => moveTo(positionOf(tape, row)) },
    make("th", { scope: "row", class: "id" }, `%${row.id}`),
    make("td", { class: "op", style: `--depth:${depth}` }, operation(row)),
    make("td", { class: "shape" }, row.scalar ? "" : shapeText(row.shape)),
    cells.value,
    make("td", { class: "rule" }, rule(tape, row)),
    cells.adjoint,
    make("td", { class: "kept" }, row.bytes && !row.scalar ? bytes(row.bytes) : "", make("span", { class: "line", title: row.site ? `${tape.sources[row.site[0]].file}:${row.site[1]}` : "" }, lineText(tape, row))));
  return { node, row, ...cells, shown: {} };
}

function operation(row) {
  const name = row.name && !row.name.startsWith("#") ? row.name : null;
  const inputs = row.arguments.map((a, i) => [
    i ? ", " : "",
    a.id !== undefined ? make("span", { class: "ref" }, `%${a.id}`) : make("span", { class: "const", title: a.constant ? pictureTitle(a.constant) : "" }, constantText(a)),
  ]);
  return [
    make("span", { class: "name" }, row.op),
    name ? make("span", { class: "param" }, make("wbr"), ...name.split(/(?<=\.)/).flatMap((part) => [part, make("wbr")])) : null,
    inputs.length ? make("span", { class: "args" }, "(", ...inputs.flat(), ")") : null,
    row.options ? [" ", make("span", { class: "options" }, row.options)] : null,
    ...row.badges.filter((b) => b.kind !== "constant").map((b) => [" ", make("span", { class: `badge ${b.kind}`, title: b.why }, b.text)]),
  ];
}

// Partial derivatives are numbers; of tensors there is the rule.
function rule(tape, row) {
  const partials = row.arguments.filter((a) => a.partial !== undefined);
  if (partials.length) {
    const shown = partials.slice(0, 3).map((a) => make("span", { class: "partial" },
      make("span", { class: "muted" }, `∂/∂${v(a.id)} `), short(a.partial)));
    if (partials.length > 3) shown.push(make("span", { class: "muted" }, `and ${partials.length - 3} more`));
    return shown;
  }
  const formula = tape.formulas[row.op];
  if (!formula || row.leaf) return "";
  const gives = formula.gives.filter(Boolean);
  const shown = gives.slice(0, 3).map((g) => make("span", { class: "partial formula" }, g));
  if (gives.length > 3) shown.push(make("span", { class: "muted" }, `and ${gives.length - 3} more`));
  return shown;
}

function refreshTable() {
  const { tape, position } = state;
  const step = stepAt(tape, position);
  const n = tape.rows.length;
  $("tape").classList.toggle("sweeping", sweeping(tape, position));
  for (const line of lines.values()) {
    const { row, node, shown } = line;
    const there = position >= row.id;
    if (shown.value !== there) fill(line.value, there ? drawPicture(row.value) : "");
    shown.value = there;
    const hide = state.predict && hidden(row);
    const now = hide ? { hidden: true } : adjointAt(tape, row, position);
    const key = hide ? "?" : now ? `${now.parts}/${now.of}` : "";
    if (shown.adjoint !== key) fill(line.adjoint, hide ? make("span", { class: "none" }, "?") : drawAdjoint(row, now));
    shown.adjoint = key;
    const classes = ["row"];
    if (!there) classes.push("later");
    if (row.dead && position > n) classes.push("is-dead");
    if (step.reads.includes(row.id)) classes.push("read");
    if (step.writes.includes(row.id)) classes.push("written");
    if (step.row === row) classes.push("current");
    if (state.row === row.id) classes.push("chosen");
    node.className = classes.join(" ");
  }
}

function drawAdjoint(row, now) {
  if (!now) return "";
  const picture = row.scalar
    ? make("span", { class: "number", title: exact(now.sum) }, short(now.sum))
    : drawPicture(now.picture);
  if (now.of < 2) return picture;
  return [picture, make("span", { class: "parts", title: "contributions so far" }, `${now.parts}/${now.of}`)];
}

function markRow() {
  for (const { node, row } of lines.values()) {
    const on = row.id === state.row;
    node.classList.toggle("chosen", on);
    node.setAttribute("tabindex", on ? "0" : "-1");
    if (on) node.setAttribute("aria-current", "true");
    else node.removeAttribute("aria-current");
  }
  if (!lines.has(state.row)) lines.values().next().value?.node.setAttribute("tabindex", "0");
  reveal(state.row);
}

// Scrolls the table, not the page, until a row can be seen.
function reveal(id) {
  const i = view.at.get(id);
  if (i === undefined) return;
  const box = $("tape");
  if (!lines.has(id)) {
    box.scrollTop = heightOf(0, i) - box.clientHeight / 3;
    showWindow();
    if (!lines.has(id)) return;
    markRow();
    return;
  }
  const [a, b] = [lines.get(id).node.getBoundingClientRect(), box.getBoundingClientRect()];
  const head = $("head").getBoundingClientRect().height;
  if (a.top < b.top + head + 40) box.scrollTop += a.top - b.top - head - 80;
  else if (a.bottom > b.bottom - 40) box.scrollTop += a.bottom - b.bottom + 80;
}

function matchesQuery(row) {
  const q = state.query.trim().toLowerCase();
  if (!q) return true;
  if (/^%\d+$/.test(q)) return `%${row.id}` === q;
  row.text ??= [`%${row.id}`, row.op, row.name, row.layer, row.options, shapeText(row.shape), lineText(state.tape, row), ...row.badges.map((b) => b.text)]
    .filter(Boolean).join(" ").toLowerCase();
  return row.text.includes(q);
}
