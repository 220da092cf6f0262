// Two steps: the page turns from one to the other, and tells how far apart the same statements are.
onChange((changed) => {
  if (state.tab === "changes" && ["tape", "tab", "row", "sorted"].some((k) => changed.has(k))) drawChanges();
});

// The change of each row of the tape that is shown, by its number there.
function changesOf(tape) {
  if (!compared || (tape !== whole.tape && tape !== whole.other)) return new Map();
  tape.changes ??= new Map(whole.changes.map((c) => (tape === whole.tape ? [c.id, c] : [c.other, { ...c, id: c.other, other: c.id }])));
  return tape.changes;
}

const opposite = () => (state.tape === whole.tape ? whole.other : whole.tape);

// The same statement on the other tape; lessons have none.
function counterpart(row) {
  const change = changesOf(state.tape).get(row.id);
  return change ? prepare(opposite()).byId.get(change.other) : null;
}

const apart = (x) => (x === null ? "–" : number(x) === 0 ? "the same" : Number.isFinite(number(x)) ? `${short(100 * Number(number(x).toPrecision(3)))} %` : "not finite");

function otherOf(row) {
  if (state.lesson >= 0) return make("p", { class: "muted" }, "A lesson has one step only.");
  const there = counterpart(row);
  if (!there) return make("p", { class: "muted" }, "It has no such statement.");
  const change = changesOf(state.tape).get(row.id);
  const line = (name, own, other, by) => make("tr", {}, make("th", { scope: "row" }, name),
    make("td", {}, drawPicture(own)), make("td", {}, drawPicture(other)), make("td", { class: "num" }, apart(by)));
  return [make("table", { class: "beside" },
    make("thead", {}, make("tr", {}, make("td"), make("th", { scope: "col" }, "here"), make("th", { scope: "col" }, `there, %${there.id}`), make("th", { scope: "col" }, "apart"))),
    make("tbody", {}, line("value", row.value, there.value, change.value), state.predict && hidden(row) ? null : line("adjoint", row.adjoint, there.adjoint, change.adjoint))),
  make("p", {}, make("button", { click: turnStep }, "Turn to the other step"))];
}

// Opens the other tape at the same statement, with the same folding.
function turnStep() {
  if (!compared) return;
  const to = state.lesson >= 0 ? whole.tape : prepare(opposite());
  const row = state.lesson >= 0 ? null : counterpart(state.tape.byId.get(state.row));
  const sweep = sweeping(state.tape, state.position);
  openTape(to);
  if (row) choose(row.id);
  if (sweep) moveTo(to.last);
}

function drawStepChoice() {
  $("step").value = state.tape === whole.other ? "other" : "own";
}

function startCompare() {
  for (const id of ["step", "tab-changes"]) $(id).hidden = !compared;
  document.querySelector('label[for="step"]').hidden = !compared;
  if (!compared) return;
  fill($("step"), make("option", { value: "own" }, whole.tape.title), make("option", { value: "other" }, whole.other.title));
  $("step").addEventListener("change", (e) => (e.target.value === "other") !== (state.tape === whole.other) && turnStep());
}

// The largest changes first, of values or of adjoints.
const MOST_CHANGES = 60;
function drawChanges() {
  const tape = state.tape;
  const by = state.sorted ?? "adjoint";
  const all = [...changesOf(tape).values()];
  const of = (c) => (c[by] === null ? -1 : Number.isNaN(number(c[by])) ? Infinity : number(c[by]));
  const sorted = all.filter((c) => of(c) > 0).sort((a, b) => of(b) - of(a) || a.id - b.id);
  const alone = (rows, n) => (rows.length > n ? `${plural(rows.length - n, "statement")} of ${rows.length}` : "");
  const only = [["only here", alone(tape.rows, all.length)], ["only in the other step", compared && state.lesson < 0 ? alone(opposite().rows, all.length) : ""]];
  const choice = ["value", "adjoint"].map((name) => make("button", { "aria-pressed": String(by === name), click: () => change({ sorted: name }) }, `${name}s`));
  const line = (c) => {
    const row = tape.byId.get(c.id);
    return make("tr", { class: c.id === state.row ? "here" : "" }, make("td", {}, refer(c.id)),
      make("td", {}, row.op, row.name && !row.name.startsWith("#") ? make("span", { class: "param" }, row.name) : row.layer ? make("span", { class: "muted" }, ` ${row.layer}`) : ""),
      make("td", { class: "num" }, apart(c.value)), make("td", { class: "num" }, apart(c.adjoint)));
  };
  fill($("panel-changes"),
    make("p", { class: "note" }, "How far values and adjoints are from those of the other step: the norm of the difference over the larger norm."),
    only.filter(([, text]) => text).map(([what, text]) => make("p", {}, `${text} ${text.startsWith("1 ") ? "is" : "are"} ${what}.`)),
    make("p", { class: "buttons" }, "Largest first: ", choice),
    sorted.length
      ? make("table", { class: "list" }, make("thead", {}, make("tr", {}, ["row", "statement"].map((t) => make("th", { scope: "col" }, t)), ["value", "adjoint"].map((t) => make("th", { scope: "col", class: "num" }, t)))), make("tbody", {}, sorted.slice(0, MOST_CHANGES).map(line)))
      : make("p", {}, `All ${by}s that both have are the same.`),
    sorted.length > MOST_CHANGES ? make("p", { class: "note" }, `and ${sorted.length - MOST_CHANGES} more`) : null);
}
