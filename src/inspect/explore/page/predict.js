// Predict: adjoints are hidden, and each step of the sweep asks for the next one before it shows it.
const answers = new Map();
const answered = (position) => answers.has(`${state.lesson}:${position}`);

// Whether a row's adjoint is still a secret: something in the current step writes it and has not been answered.
function hidden(row) {
  if (!sweeping(state.tape, state.position)) return false;
  const step = stepAt(state.tape, state.position);
  return step.kind === "sweep" && step.writes.includes(row.id) && !answered(state.position);
}

// The question of a step: a number, or of tensors the shape of the adjoint.
function asked(tape, step) {
  const target = step.turn.at(-1);
  if (!target) return null;
  const row = tape.byId.get(target.to);
  if (row.scalar) return { row, text: `What is ${vbar(row.id)} after this step?`, answer: target.after.sum, kind: "number" };
  return { row, text: `Which shape has ${vbar(row.id)}?`, answer: row.shape, kind: "shape" };
}

function right(q, typed) {
  if (q.kind === "number") {
    const x = Number(typed.replace("−", "-").replace(",", "."));
    return typed.trim() !== "" && (Math.abs(x - q.answer) <= 0.01 * Math.abs(q.answer) || Math.abs(x - q.answer) < 1e-9);
  }
  const sizes = typed.match(/\d+/g)?.map(Number) ?? [];
  return typed.trim() !== "" && sizes.length === q.answer.length && sizes.every((s, i) => s === q.answer[i]);
}

function question(tape, step) {
  const q = asked(tape, step);
  if (!q) return null;
  const input = make("input", { id: "guess", autocomplete: "off", size: 12, placeholder: q.kind === "shape" ? "[…, …]" : "a number" });
  const verdict = make("span", { id: "verdict", role: "status" });
  const done = (text) => {
    answers.set(`${state.lesson}:${state.position}`, text);
    state.answers = answers.size;
    refreshTable();
    drawStep();
    $("next").focus();
    $("formula").append(make("p", { class: "verdict", id: "verdict", role: "status" }, text));
  };
  const check = (event) => {
    event.preventDefault();
    const text = q.kind === "shape" ? shapeText(q.answer) : short(q.answer);
    if (right(q, input.value)) done(`Right: ${text}.`);
    else verdict.textContent = input.value.trim() ? "Not that. Again?" : "";
  };
  const show = () => done(`It is ${q.kind === "shape" ? shapeText(q.answer) : short(q.answer)}.`);
  return make("form", { class: "question", submit: check },
    make("label", { for: "guess" }, q.text), input, make("button", { type: "submit" }, "Check"),
    make("button", { type: "button", id: "reveal", click: show }, "Show"), verdict);
}
