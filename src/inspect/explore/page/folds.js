// Rows put together: by layer, by source line, by loop. A group is a run of neighbouring rows; groups may hold groups.
function groupsOf(tape, how) {
  const key = `groups-${how}`;
  if (!tape[key]) {
    if (how === "layer") tape[key] = byLayer(tape.rows, 0);
    else if (how === "line") tape[key] = runs(tape.rows, (row) => lineKey(row), (row) => lineTitle(tape, row));
    else if (how === "loop") tape[key] = byLoop(tape, tape.rows);
    else tape[key] = tape.rows;
  }
  return tape[key];
}

// The keys of the groups that each row is in, from the outermost on.
function pathsOf(tape, how) {
  const key = `paths-${how}`;
  if (!tape[key]) {
    tape[key] = new Map();
    const walk = (items, path) => items.forEach((g) => (g.items ? walk(g.items, [...path, g.key]) : tape[key].set(g.id, path)));
    walk(groupsOf(tape, how), []);
  }
  return tape[key];
}

// The groups that a row is in, as far as they are closed.
function closedAround(row) {
  return new Set((pathsOf(state.tape, state.fold).get(row.id) ?? []).filter((key) => state.closed.has(key)));
}

// A group has a title, its items (rows and groups), and the rows below it.
function group(title, items, note = "") {
  const rows = items.flatMap((i) => (i.items ? i.rows : [i]));
  return { title, items, rows, note, key: `${title}@${rows[0].id}` };
}

function runs(rows, keyOf, titleOf) {
  const out = [];
  for (let i = 0; i < rows.length; ) {
    let j = i + 1;
    while (j < rows.length && keyOf(rows[j]) === keyOf(rows[i])) j++;
    if (keyOf(rows[i]) === "" || j - i < 2) out.push(...rows.slice(i, j));
    else out.push(group(titleOf(rows[i]), rows.slice(i, j)));
    i = j;
  }
  return out;
}

function lineTitle(tape, row) {
  const [file, line] = row.site;
  const text = tape.sources[file].lines.find(([n]) => n === line)?.[1].trim() ?? "";
  return `${fileName(tape.sources[file].file)}:${line}  ${text}`;
}

// `blocks.0.attn` is a group within `blocks.0`.
function byLayer(rows, depth) {
  const part = (row) => {
    const parts = (row.layer ?? "").split(".").filter(Boolean);
    return parts.length > depth ? parts.slice(0, depth + 1).join(".") : "";
  };
  const out = [];
  for (let i = 0; i < rows.length; ) {
    let j = i + 1;
    while (j < rows.length && part(rows[j]) === part(rows[i])) j++;
    const run = rows.slice(i, j);
    const name = part(run[0]);
    if (name === "" || run.length < 2) out.push(...run);
    else {
      let inner = byLayer(run, depth + 1);
      // A list like `blocks` is not worth a level of its own.
      if (inner.length > 1 && inner.every((g) => g.items)) out.push(...inner);
      else {
        if (inner.length === 1 && inner[0].items) inner = inner[0].items;
        out.push(group(name, inner));
      }
    }
    i = j;
  }
  return out;
}

// Two rows may be the same step of a loop if they do the same at the same place of the source.
const signature = (row) => `${row.op}|${row.site ? row.site.join(":") : ""}|${row.shape}`;

// The shortest stretch that is repeated, at least twice in all, from each place on.
function byLoop(tape, rows) {
  const known = new Map();
  const signs = rows.map(signature).map((text) => known.get(text) ?? known.set(text, known.size).get(text));
  const out = [];
  for (let i = 0; i < rows.length; ) {
    const found = repeat(signs, i);
    if (!found) {
      out.push(rows[i++]);
      continue;
    }
    const { period, times } = found;
    const turns = [];
    for (let k = 0; k < times; k++) {
      const part = rows.slice(i + k * period, i + (k + 1) * period);
      turns.push(period === 1 ? part[0] : group(`turn ${k + 1}`, part));
    }
    const where = rows[i].site ? ` from ${lineText(tape, rows[i])}` : "";
    out.push(group(`loop${where}: ${times} turns of ${plural(period, "statement")}`, turns));
    i += period * times;
  }
  return out;
}

function repeat(signs, start) {
  const longest = Math.min(120, Math.floor((signs.length - start) / 2));
  for (let period = 1; period <= longest; period++) {
    let times = 1;
    while (matches(signs, start, start + times * period, period)) times++;
    // Inputs in a row, or one statement twice, are no loop worth a fold.
    const worth = period === 1 ? times >= 4 : times >= 2;
    if (worth) return { period, times };
  }
  return null;
}

function matches(signs, a, b, n) {
  if (b + n > signs.length) return false;
  for (let k = 0; k < n; k++) if (signs[a + k] !== signs[b + k]) return false;
  return true;
}
