// The tape as a graph, from top to bottom. Above 200 rows it shows groups: layers, or stretches of rows.
const MOST = 200;

onChange((changed) => {
  if (state.tab !== "graph") return;
  if (changed.has("tape") || changed.has("tab")) drawGraph();
  else if (changed.has("row") || changed.has("position")) markGraph();
});

function nodesOf(tape) {
  if (tape.nodes) return tape.nodes;
  let items = tape.rows.map((row) => ({ rows: [row], title: row.op, row }));
  if (items.length > MOST) {
    const levels = [4, 3, 2, 1, 0].map((depth) => collapse(groupsOf(tape, "layer"), depth));
    items = levels.find((level) => level.length <= MOST) ?? stretches(tape.rows);
  }
  items.forEach((item, i) => (item.index = i));
  const of = new Map(items.flatMap((item) => item.rows.map((row) => [row.id, item])));
  for (const item of items) {
    item.from = new Set(item.rows.flatMap((row) => row.reads.map((id) => of.get(id))).filter((o) => o && o !== item));
    item.leaf = item.rows.every((row) => row.leaf);
  }
  tape.nodes = layout(items);
  tape.nodeOf = of;
  return tape.nodes;
}

// Groups as one node each: those at a depth, and innermost ones above it.
function collapse(items, depth) {
  return items.flatMap((i) => {
    if (!i.items) return [{ rows: [i], title: i.op, row: i }];
    const inner = depth > 0 && i.items.some((x) => x.items);
    return inner ? collapse(i.items, depth - 1) : [{ rows: i.rows, title: i.title, row: i.rows[0] }];
  });
}

function stretches(rows) {
  const each = Math.ceil(rows.length / MOST);
  const out = [];
  for (let i = 0; i < rows.length; i += each) {
    const part = rows.slice(i, i + each);
    out.push({ rows: part, row: part[0], title: `%${part[0].id} … %${part.at(-1).id}` });
  }
  return out;
}

// A rank below all that it reads; leaves just above their first reader. Within a rank, near what they read.
function layout(items) {
  for (const item of items) item.rank = Math.max(-1, ...[...item.from].filter((o) => o.index < item.index).map((o) => o.rank)) + 1;
  for (const item of items) {
    if (!item.leaf) continue;
    const readers = items.filter((o) => o.from.has(item)).map((o) => o.rank);
    if (readers.length) item.rank = Math.max(0, Math.min(...readers) - 1);
  }
  const ranks = [];
  for (const item of items) (ranks[item.rank] ??= []).push(item);
  const width = Math.max(...ranks.filter(Boolean).map((r) => r.length));
  for (let pass = 0; pass < 4; pass++) {
    ranks.forEach((rank) => {
      if (!rank) return;
      for (const item of rank) {
        const near = [...item.from, ...items.filter((o) => pass > 0 && o.from.has(item))].filter((o) => o.x !== undefined);
        item.wish = near.length ? near.reduce((s, o) => s + o.x, 0) / near.length : item.x ?? width / 2;
      }
      rank.sort((a, b) => a.wish - b.wish || a.index - b.index);
      const left = (width - rank.length) / 2;
      rank.forEach((item, i) => (item.x = left + i));
    });
  }
  return { items, width, ranks: ranks.length };
}

const [STEP_X, STEP_Y, BOX_X, BOX_Y] = [104, 54, 92, 32];

function drawGraph() {
  const tape = state.tape;
  const { items, width, ranks } = nodesOf(tape);
  const center = (o) => [o.x * STEP_X + STEP_X / 2, o.rank * STEP_Y + STEP_Y / 2];
  const [w, h] = [width * STEP_X, ranks * STEP_Y];
  const svg = make("svg", { class: "graph", width: w, height: h, viewBox: `0 0 ${w} ${h}`, role: "group", "aria-label": `Graph of ${items.length} nodes` });
  for (const item of items) {
    for (const from of item.from) {
      const [[a, b], [c, d]] = [center(from), center(item)];
      const [y1, y2] = [b + BOX_Y / 2, d - BOX_Y / 2];
      const bend = Math.max(12, (y2 - y1) / 2);
      svg.append(make("path", { class: "edge", d: `M${a} ${y1}C${a} ${y1 + bend} ${c} ${y2 - bend} ${c} ${y2}`, "data-edge": `${from.index}-${item.index}` }));
    }
  }
  for (const item of items) {
    const [x, y] = center(item);
    const name = item.rows.length > 1 ? `${item.rows.length} rows` : item.row.name && !item.row.name.startsWith("#") ? item.row.name : item.row.scalar ? "" : shapeText(item.row.shape);
    const pick = () => choose(item.rows[0].id);
    const g = make("g", {
      class: `node${item.leaf ? " leaf" : ""}`, tabindex: "0", role: "button", "data-node": item.index,
      "aria-label": `%${item.rows[0].id} ${item.title} ${name}`, click: pick, keydown: (e) => ["Enter", " "].includes(e.key) && (e.preventDefault(), pick()),
    }, make("rect", { x: x - BOX_X / 2, y: y - BOX_Y / 2, width: BOX_X, height: BOX_Y, rx: item.leaf ? 16 : 4 }),
    make("text", { x, y: name ? y - 2 : y + 4 }, clip(item.rows.length > 1 ? item.title : `%${item.row.id} ${item.title}`, 13)),
    name ? make("text", { x, y: y + 10, class: "sub" }, clip(name, 16)) : null);
    svg.append(g);
  }
  const note = tape.rows.length > MOST ? `${tape.rows.length} rows, put together to ${items.length} nodes.` : `${plural(items.length, "node")}.`;
  fill($("panel-graph"), make("p", { class: "note" }, note, " A choice here is a choice in the table."), make("div", { class: "scroll", id: "graph" }, svg));
  markGraph();
}

const clip = (text, n) => (text.length > n ? `…${text.slice(1 - n)}` : text);

function markGraph() {
  const tape = state.tape;
  const step = stepAt(tape, state.position);
  const indexes = (ids) => new Set(ids.map((id) => tape.nodeOf.get(id)?.index));
  const [reads, writes, chosen] = [indexes(step.reads), indexes(step.writes), tape.nodeOf.get(state.row)?.index];
  for (const node of $("graph").querySelectorAll("[data-node]")) {
    const i = Number(node.dataset.node);
    node.classList.toggle("read", reads.has(i));
    node.classList.toggle("written", writes.has(i));
    node.classList.toggle("chosen", i === chosen);
    if (i === chosen) {
      const box = $("graph");
      const rect = node.querySelector("rect");
      const [x, y] = [Number(rect.getAttribute("x")), Number(rect.getAttribute("y"))];
      box.scrollTo({ left: x - box.clientWidth / 2 + BOX_X / 2, top: y - box.clientHeight / 2 });
    }
  }
  for (const edge of $("graph").querySelectorAll("[data-edge]")) {
    const [a, b] = edge.dataset.edge.split("-").map(Number);
    const forward = reads.has(a) && writes.has(b);
    const back = writes.has(a) && reads.has(b);
    edge.classList.toggle("lit", forward || back);
    edge.classList.toggle("near", a === chosen || b === chosen);
  }
}
