// The tape as rows. The table is built when the tape or the folding changes; a step only refreshes what it changes.
let lines = new Map();

onChange((changed) => {
  if (["tape", "fold", "closed", "opened", "query"].some((k) => changed.has(k))) buildTable();
  else if (changed.has("position") || changed.has("predict")) refreshTable();
  if (changed.has("row") || changed.has("position") || changed.has("tape")) markRow();
});

function buildTable() {
  const tape = state.tape;
  lines = new Map();
  const body = [];
  const place = (items, depth, hidden) => {
    for (const item of items) {
      if (item.items) {
        const open = !state.closed.has(item.key) || state.opened.has(item.key) || state.query !== "";
        if (state.query && !item.rows.some(matchesQuery)) continue;
        if (!hidden) body.push(groupLine(item, depth, open));
        place(item.items, depth + 1, hidden || !open);
      } else if (!hidden && matchesQuery(item)) {
        const line = rowLine(tape, item, depth);
        lines.set(item.id, line);
        body.push(line.node);
      }
    }
  };
  place(groupsOf(tape, state.fold), 0, false);
  $("tape").classList.toggle("numbers-only", tape.rows.every((row) => row.scalar));
  if (!body.length) body.push(make("tr", {}, make("td", { class: "muted", colspan: 7 }, "No row has this in its name, operation, options, shape, layer, line or badges.")));
  fill($("rows"), body);
  $("found").textContent = state.query ? `${lines.size} of ${tape.rows.length}` : "";
  refreshTable();
  markRow();
}

function groupLine(g, depth, open) {
  const tape = state.tape;
  const sum = (f) => g.rows.reduce((s, r) => s + f(r), 0);
  const norm = Math.sqrt(sum((r) => (r.name && r.adjoint ? number(r.adjoint.norm) ** 2 : 0)));
  const facts = [plural(g.rows.length, "row"), `${bytes(sum((r) => r.bytes))} kept`];
  const spent = sum((r) => r.nanos + r.nanos_swept);
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
  const node = make("tr", { class: "row", id: `row-${row.id}`, tabindex: "-1", click: pick, dblclick: () => moveTo(positionOf(tape, row)) },
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
    name ? make("span", { class: "param" }, ...name.split(/(?<=\.)/).flatMap((part) => [part, make("wbr")])) : null,
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
  if (![...lines.keys()].includes(state.row)) lines.values().next().value?.node.setAttribute("tabindex", "0");
  reveal(lines.get(state.row)?.node);
}

// Scrolls the table, not the page.
function reveal(node) {
  if (!node) return;
  const box = $("tape");
  const [a, b] = [node.getBoundingClientRect(), box.getBoundingClientRect()];
  const head = $("head").getBoundingClientRect().height;
  if (a.top < b.top + head + 40) box.scrollTop += a.top - b.top - head - 80;
  else if (a.bottom > b.bottom - 40) box.scrollTop += a.bottom - b.bottom + 80;
}

function matchesQuery(row) {
  const q = state.query.trim().toLowerCase();
  if (!q) return true;
  if (/^%\d+$/.test(q)) return `%${row.id}` === q;
  const text = [`%${row.id}`, row.op, row.name, row.layer, row.options, shapeText(row.shape), lineText(state.tape, row), ...row.badges.map((b) => b.text)];
  return text.filter(Boolean).join(" ").toLowerCase().includes(q);
}
