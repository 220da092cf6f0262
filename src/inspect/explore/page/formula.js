// The one formula of a step with its numbers put in.
onChange((changed) => {
  if (["tape", "position", "predict", "answers"].some((k) => changed.has(k))) drawStep();
});

function drawStep() {
  const { tape, position } = state;
  const step = stepAt(tape, position);
  const n = tape.rows.length;
  $("head-slider").max = tape.last;
  $("head-slider").value = position;
  const phase = position === 0 ? "before the first statement"
    : position <= n ? `forward, ${position} of ${n}`
    : `sweep, ${position - n} of ${tape.last - n}`;
  $("head-slider").setAttribute("aria-valuetext", phase);
  $("phase").textContent = phase;
  $("phase").className = position > n ? "phase back" : "phase";
  for (const id of ["first", "back"]) $(id).disabled = position === 0;
  for (const id of ["next", "end"]) $(id).disabled = position === tape.last;
  const parts = {
    begin: () => [make("p", {}, "Nothing has happened yet. Step forward with ", make("kbd", {}, "→"), " or ", make("b", {}, "›"), " above: each step fills in one value.")],
    forward: () => forwardStep(tape, step.row),
    seed: () => seedStep(step.row),
    sweep: () => sweepStep(tape, step),
  }[step.kind]();
  fill($("formula"), parts);
  $("spoken").textContent = state.predict && step.kind === "sweep" ? "A step of the sweep. What is the adjoint now?" : spoken(tape, step);
}

const reference = (id, bar) => make("button", { class: "var", click: () => choose(id, { tab: "statement" }), title: `%${id}` }, bar ? vbar(id) : v(id));

// In a formula `a`, `b`, `c` are operands, `y` the result.
function put(tape, row, text) {
  const operand = (i) => {
    const a = row.arguments[i];
    if (!a) return null;
    return a.id !== undefined ? reference(a.id) : make("span", { class: "const" }, constantText(a));
  };
  return text.split(/(ȳ|(?<![A-Za-zÀ-ÿ])[abcy](?![A-Za-zÀ-ÿ]))/u).map((part) => {
    if (part === "ȳ") return reference(row.id, true);
    if (part === "y") return reference(row.id);
    const i = ["a", "b", "c"].indexOf(part);
    return i >= 0 ? operand(i) ?? part : part;
  });
}

function forwardStep(tape, row) {
  const formula = tape.formulas[row.op];
  const left = [reference(row.id), " = "];
  if (row.leaf) {
    const what = row.op === "param" ? `parameter ${row.name ?? ""}` : "input";
    return [equation(...left, make("span", { class: "muted" }, `${what} `), valueOf(row.value))];
  }
  const terms = formula && formula.value && row.arguments.length <= 3 && !/^(one of|scalars|the operands)/.test(formula.value)
    ? put(tape, row, formula.value)
    : [`${row.op}(`, ...row.arguments.flatMap((a, i) => [i ? ", " : "", a.id !== undefined ? reference(a.id) : constantText(a)]), ")"];
  const numbers = row.arguments.every((a) => pictureOf(tape, a) && isNumber(pictureOf(tape, a))) && row.arguments.length <= 3
    ? [" = ", make("span", { class: "numbers" }, withNumbers(tape, row, formula))]
    : [];
  return [
    equation(...left, ...terms, ...numbers, " = ", valueOf(row.value)),
    make("p", { class: "note" }, remark(row, formula)),
  ];
}

// What is kept and broadcast are matters of tensors.
function remark(row, formula) {
  if (row.scalar && !row.kinks) return "Its partial derivatives are numbers, computed together with the value: nothing else is kept.";
  return formula?.note ?? "";
}

const pictureOf = (tape, a) => (a.id !== undefined ? tape.byId.get(a.id)?.value : a.constant);

function withNumbers(tape, row, formula) {
  const value = (i) => {
    const p = row.arguments[i] && pictureOf(tape, row.arguments[i]);
    return p ? negative(short(p.first[0])) : null;
  };
  const text = formula?.value ?? `${row.op}(a)`;
  return text.replace(/(?<![A-Za-zÀ-ÿ])[abc](?![A-Za-zÀ-ÿ])/gu, (name) => value("abc".indexOf(name)) ?? name);
}

const negative = (text) => (text.startsWith("−") ? `(${text})` : text);
const equation = (...parts) => make("div", { class: "equation" }, ...parts);
const valueOf = (picture) => make("span", { class: "result" }, picture ? drawPicture(picture, { wide: 120, high: 26 }) : "?");

function seedStep(row) {
  return [
    equation(reference(row.id, true), " = ", make("span", { class: "numbers" }, "∂ result / ∂ result"), " = ", make("span", { class: "result" }, "1")),
    make("p", { class: "note" }, "The seed: the derivative of the result with respect to itself. From here the sweep walks upwards."),
  ];
}

function sweepStep(tape, step) {
  const { row, turn } = step;
  const hide = state.predict && !answered(state.position);
  const shown = turn.slice(0, 6).map((c, i) => contribution(tape, row, c, hide, i));
  if (!turn.length) shown.push(make("p", { class: "note" }, "Its operands are constants, or nobody asked for their gradients."));
  if (turn.length > 6) shown.push(make("p", { class: "note" }, `and ${turn.length - 6} more`));
  const note = row.scalar ? "" : tape.formulas[row.op]?.note;
  const general = make("p", { class: "note" }, make("span", { class: "general" }, "v̄ⱼ += v̄ᵢ · ∂φᵢ/∂vⱼ"), ` with i = ${row.id}, ${statementText(row)}.`, note && !hide ? ` ${note}` : "");
  return [make("div", { class: "equations" }, ...shown), hide ? question(tape, step) : null, general];
}

function contribution(tape, row, c, hide, i) {
  const left = [reference(c.to, true), c.element !== null && c.element !== undefined ? make("span", { class: "muted" }, `[${c.element}]`) : "", " += "];
  if (c.partial !== undefined) {
    const result = hide ? ["?"] : [short(c.number)];
    const now = hide ? [] : [make("span", { class: "now" }, " now ", make("b", {}, short(c.after.sum)))];
    return equation(...left, reference(row.id, true), ` · ∂${v(row.id)}/∂${v(c.to)} = `,
      make("span", { class: "numbers" }, `${short(c.adjoint)} · ${negative(short(c.partial))}`), " = ",
      make("span", { class: "result" }, ...result), ...now);
  }
  const gives = tape.formulas[row.op]?.gives ?? [];
  const operand = row.arguments.findIndex((a, k) => a.id === c.to && (row.reads.filter((id) => id === c.to).length < 2 || k >= i));
  const text = gives[Math.min(Math.max(operand, 0), gives.length - 1)];
  const terms = text ? put(tape, row, text) : [reference(row.id, true), " · ∂"];
  const now = c.after.sum !== undefined && !hide && c.number !== undefined
    ? [make("span", { class: "now" }, " now ", make("b", {}, short(c.after.sum)))] : [];
  return equation(...left, make("span", {}, ...terms), " = ",
    make("span", { class: "result" }, hide ? "?" : drawPicture(c.picture, { wide: 120, high: 26 })), ...now);
}

function spoken(tape, step) {
  const { row } = step;
  if (step.kind === "begin") return "Before the first statement.";
  if (step.kind === "forward") return `Row ${row.id}: ${statementText(row)} is ${words(row.value)}.`;
  if (step.kind === "seed") return `The sweep begins: the adjoint of row ${row.id} is 1.`;
  const parts = step.turn.map((c) => `row ${c.to} gets ${c.number !== undefined ? short(c.number) : words(c.picture)}`);
  return `Sweep, row ${row.id}, ${row.op}: ${parts.join("; ") || "nothing to give"}.`;
}
