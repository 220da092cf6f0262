// A row opened: what it is, what it depends on, its part in the gradient, its rule, and differences beside it.
onChange((changed) => {
  if (["row", "tab", "tape", "position", "predict", "answers"].some((k) => changed.has(k)) && state.tab === "statement") drawDetail();
});

function drawDetail() {
  const tape = state.tape;
  const row = tape.byId.get(state.row) ?? tape.rows[0];
  if (!row) return;
  const secret = state.predict && hidden(row);
  fill($("panel-statement"),
    make("h2", {}, make("span", { class: "muted" }, `%${row.id} `), row.op, row.name && !row.name.startsWith("#") ? make("span", { class: "param" }, row.name) : null),
    row.badges.length ? make("ul", { class: "badges" }, row.badges.map((b) => make("li", {}, make("span", { class: `badge ${b.kind}` }, b.text), " ", b.why))) : null,
    facts(tape, row),
    section("Value", large(row.value)),
    section("Rule", ruleOf(tape, row)),
    section("Adjoint", secret ? make("p", { class: "muted" }, "Hidden until you have answered.") : adjointSoFar(tape, row)),
    compared ? section("In the other step", otherOf(row)) : null,
    section("Depends on", dependsOn(tape, row)),
    section("Read by", readBy(tape, row)));
}

const section = (title, ...content) => make("section", {}, make("h3", {}, title), ...content);

function facts(tape, row) {
  const list = [];
  const add = (name, value) => value && list.push(make("dt", {}, name), make("dd", {}, value));
  add("shape", row.scalar ? "a number" : shapeText(row.shape));
  add("options", row.options);
  add("layer", row.layer);
  if (row.site) {
    add("line", make("button", { class: "link", click: () => change({ tab: "source" }) }, `${tape.sources[row.site[0]].file}:${row.site[1]}`));
  }
  add("time", row.nanos || row.backward_nanos ? `${time(row.nanos)} forward, ${time(row.backward_nanos)} in the sweep` : "");
  add("kept", keptText(row));
  return make("dl", { class: "facts" }, list);
}

function keptText(row) {
  if (row.scalar) return row.bytes ? `${bytes(row.bytes)}: ids and partial derivatives` : "";
  if (!row.kept.length) return row.leaf ? "" : "nothing";
  return row.kept.map((k) => {
    const what = k.operand === null ? "the result" : row.arguments[k.operand]?.id ? `operand %${row.arguments[k.operand].id}` : "a constant";
    return `${what}, ${bytes(k.bytes)}${k.new ? "" : " (there already)"}`;
  }).join("; ");
}

function large(picture) {
  if (!picture) return make("p", { class: "muted" }, "Recorded before the tape was observed.");
  if (isNumber(picture)) return make("p", { class: "huge" }, exact(picture.first[0]));
  const list = make("dl", { class: "facts" });
  const add = (name, value) => list.append(make("dt", {}, name), make("dd", {}, value));
  add("range", `${short(picture.min)} … ${short(picture.max)}`);
  add("mean, norm", `${short(picture.mean)}, ${short(picture.norm)}`);
  if (picture.zeros) add("zeros", `${picture.zeros} of ${size(picture)}`);
  if (picture.strange) add("not finite", `${picture.strange} of ${size(picture)}`);
  const more = size(picture) > picture.first.length ? ", …" : "";
  add("first", picture.first.map(short).join(", ") + more);
  const art = picture.rows ? heat(picture, 360, Math.max(28, picture.rows * 8)) : spark(picture, 360, 56);
  art.setAttribute("role", "img");
  art.setAttribute("aria-label", words(picture));
  return make("div", { class: "large" }, art, list);
}

function ruleOf(tape, row) {
  if (row.leaf) return make("p", {}, tape.formulas[row.op]?.note ?? "The sweep ends here.");
  const formula = tape.formulas[row.op];
  const out = [];
  if (formula?.value) out.push(equation(reference(row.id), " = ", ...put(tape, row, formula.value)));
  const partials = row.arguments.filter((a) => a.partial !== undefined);
  row.arguments.slice(0, 6).forEach((a, i) => {
    if (a.id === undefined) return;
    const text = formula?.gives[Math.min(i, formula.gives.length - 1)];
    const number = a.partial !== undefined ? [make("span", { class: "muted" }, `  ∂${v(row.id)}/∂${v(a.id)} = `), make("b", {}, short(a.partial))] : [];
    out.push(equation(reference(a.id, true), " += ", ...(text ? put(tape, row, text) : partials.length ? [reference(row.id, true), ` · ∂${v(row.id)}/∂${v(a.id)}`] : ["by a rule of its own"]), ...number));
  });
  const note = row.scalar && !row.kinks ? "" : formula?.note;
  if (note) out.push(make("p", { class: "note" }, note));
  return out;
}

// As the play head has it: nothing before its first part, what has come so far, and with the last part all about it.
function adjointSoFar(tape, row) {
  if (!tape.seed || !row.adjoint) return adjointOf(tape, row);
  const now = adjointAt(tape, row, state.position);
  if (!now) return make("p", { class: "muted" }, "Nothing has come here yet: the play head is before that.");
  if (now.complete) return adjointOf(tape, row);
  const value = now.picture ? large(now.picture) : make("p", { class: "huge" }, exact(now.sum));
  return [value, make("p", { class: "note" }, `${now.parts} of ${now.of} contributions so far.`)];
}

function adjointOf(tape, row) {
  if (!tape.seed) return make("p", { class: "muted" }, "There was no sweep.");
  if (!row.adjoint) return make("p", { class: "muted" }, "The sweep didn't come here: the result doesn't depend on this row, or it was recorded after it.");
  const out = [large(row.adjoint)];
  if (row.effect !== null) {
    out.push(make("p", {}, "Were the value 1 % larger, the result would change by about ", make("b", {}, short(number(row.effect) / 100)), " (Σ v · v̄ / 100)."));
  }
  out.push(check(row));
  const parts = partsOf(tape, row);
  if (parts.length > 1) {
    out.push(make("p", {}, `A sum of ${parts.length} contributions:`), make("ul", { class: "plain" }, parts.slice(0, 8).map((p) => make("li", {},
      "from ", refer(p.from), " ", p.picture && !isNumber(p.picture) ? `norm ${short(p.picture.norm)}` : short(p.number)))));
  }
  return out;
}

function partsOf(tape, row) {
  const parts = [];
  for (const id of tape.users.get(row.id) ?? []) parts.push(...(tape.turns.get(id) ?? []).filter((c) => c.to === row.id));
  return parts.sort((a, b) => b.from - a.from);
}

// Central differences of the recorded program, run again with one element moved.
function check(row) {
  const c = row.check;
  if (!c) return make("p", { class: "note" }, "Not checked by differences: too much would have to be run again.");
  if (c.why) return make("p", { class: "note" }, `Not checked by differences: ${c.why}.`);
  const [rule, difference] = [number(c.rule), number(c.difference)];
  const off = Math.abs(rule - difference) / Math.max(Math.abs(rule), Math.abs(difference), 1e-300);
  const digits = off === 0 ? "all digits" : off < 0.1 ? plural(Math.floor(-Math.log10(off)), "digit") : "no digit";
  return make("div", { class: "check" },
    make("p", {}, row.scalar || size(row.adjoint) === 1 ? "Checked by differences" : `Element ${c.element}, checked by differences`, `: the program was run again with this value ${short(c.step)} larger and smaller.`),
    make("table", {}, make("tbody", {},
      make("tr", {}, make("th", { scope: "row" }, "rule"), make("td", {}, exact(rule))),
      make("tr", {}, make("th", { scope: "row" }, "(L(v+h) − L(v−h)) / 2h"), make("td", {}, exact(difference))),
      make("tr", {}, make("th", { scope: "row" }, "agree to"), make("td", {}, digits)))),
    off > 0.01 ? make("p", { class: "note" }, "They differ: near a kink both sides have their own slope, and a very small derivative drowns in rounding, in f32 soon.") : null);
}

const refer = (id) => make("button", { class: "link", click: () => choose(id) }, `%${id}`);

function dependsOn(tape, row) {
  if (row.leaf) return make("p", { class: "muted" }, "Nothing: it is a leaf.");
  const above = new Set();
  const walk = [...row.reads];
  while (walk.length) {
    const id = walk.pop();
    if (above.has(id)) continue;
    above.add(id);
    walk.push(...(tape.byId.get(id)?.reads ?? []));
  }
  const leaves = [...above].sort((a, b) => a - b).filter((id) => tape.byId.get(id)?.leaf);
  const name = (id) => tape.byId.get(id).name;
  return [
    make("p", {}, "Reads ", ...row.arguments.flatMap((a, i) => [i ? ", " : "", a.id !== undefined ? refer(a.id) : constantText(a)]), "."),
    make("p", {}, `Through them ${plural(above.size, "row")}, of which ${plural(leaves.length, "leaf").replace("leafs", "leaves")}: `,
      ...leaves.slice(0, 12).flatMap((id, i) => [i ? ", " : "", refer(id), name(id) && !name(id).startsWith("#") ? ` ${name(id)}` : ""]), leaves.length > 12 ? ", …" : ""),
  ];
}

function readBy(tape, row) {
  const users = tape.users.get(row.id) ?? [];
  if (!users.length) return make("p", { class: "muted" }, row.id === tape.seed ? "Nothing: it is the result." : "Nothing.");
  return make("p", {}, ...users.slice(0, 20).flatMap((id, i) => [i ? ", " : "", refer(id), ` ${tape.byId.get(id).op}`]), users.length > 20 ? ", …" : "");
}
