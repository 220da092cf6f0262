// The play head. Positions 0 … n go forward: after position p the first p rows have their values. Position n + 1 sets the
// seed's adjoint, and each one after it is the turn of one row in the sweep.
function prepareSteps(tape) {
  const n = tape.rows.length;
  tape.sweep = [];
  if (tape.seed) {
    for (let id = tape.seed; id >= 1; id--) {
      const row = tape.byId.get(id);
      const passes = row && !row.leaf && row.adjoint;
      if (passes && !(row.scalar && number(row.adjoint.first[0]) === 0)) tape.sweep.push(row);
    }
  }
  tape.last = tape.seed ? n + 1 + tape.sweep.length : n;
  // What each turn adds, and the state of each adjoint after it.
  tape.turns = new Map();
  const adjoints = new Map();
  if (tape.seed) adjoints.set(tape.seed, { sum: 1, parts: 0, picture: tape.byId.get(tape.seed).adjoint });
  tape.history = new Map([[tape.seed, [[n + 1, adjoints.get(tape.seed)]]]]);
  tape.sweep.forEach((row, k) => {
    const position = n + 2 + k;
    const turn = contributionsOf(tape, row).map((c) => {
      const before = adjoints.get(c.to) ?? null;
      const after = add(tape, before, c);
      adjoints.set(c.to, after);
      if (!tape.history.has(c.to)) tape.history.set(c.to, []);
      tape.history.get(c.to).push([position, after]);
      return { ...c, before, after };
    });
    tape.turns.set(row.id, turn);
  });
}

// What a row hands to the rows that it read. Between scalars it is adjoint times partial; else it was recorded.
function contributionsOf(tape, row) {
  if (row.arguments.some((a) => a.partial !== undefined)) {
    const adjoint = number(row.adjoint.first[0]);
    return row.arguments
      .filter((a) => a.partial !== undefined)
      .map((a) => ({ from: row.id, to: a.id, partial: number(a.partial), adjoint, number: adjoint * number(a.partial) }));
  }
  return (tape.gives.get(row.id) ?? []).map((flow) => ({
    from: row.id, to: flow.to, element: flow.element, picture: flow.value, flow,
    number: isNumber(flow.value) ? number(flow.value.first[0]) : undefined,
  }));
}

function add(tape, before, c) {
  const target = tape.byId.get(c.to);
  const parts = (before?.parts ?? 0) + 1;
  if (target.scalar) return { sum: (before?.sum ?? 0) + c.number, parts };
  // The recorded sum; without one this contribution is the first, or it completes the adjoint.
  const whole = c.flow.sum ?? (c.flow.index === 0 && (tape.gets.get(c.to).length > 1) ? c.picture : target.adjoint);
  return { parts, picture: whole };
}

// The adjoint of a row as it stands at a position: a picture or a number, and whether it is complete.
function adjointAt(tape, row, position) {
  if (!tape.seed || position <= tape.rows.length) return null;
  const history = tape.history.get(row.id) ?? [];
  let now = null;
  for (const [at, value] of history) if (at <= position) now = value;
  if (!now) return null;
  const complete = history.at(-1)[0] <= position;
  return { ...now, complete, of: history.filter(([at]) => at > tape.rows.length + 1).length };
}

// What the step that led to a position did.
function stepAt(tape, position) {
  const n = tape.rows.length;
  if (position === 0) return { kind: "begin", reads: [], writes: [] };
  if (position <= n) {
    const row = tape.rows[position - 1];
    return { kind: "forward", row, reads: row.reads, writes: [row.id] };
  }
  if (position === n + 1) {
    const row = tape.byId.get(tape.seed);
    return { kind: "seed", row, reads: [], writes: [row.id] };
  }
  const row = tape.sweep[position - n - 2];
  const turn = tape.turns.get(row.id);
  return { kind: "sweep", row, turn, reads: [row.id], writes: [...new Set(turn.map((c) => c.to))] };
}

const sweeping = (tape, position) => position > tape.rows.length;

// The position at which a row's value is there, or its turn in the sweep if the head is in the sweep.
function positionOf(tape, row) {
  const n = tape.rows.length;
  const k = tape.sweep.indexOf(row);
  if (sweeping(tape, state.position) && k >= 0) return n + 2 + k;
  return tape.rows.indexOf(row) + 1;
}

function moveTo(position) {
  const tape = state.tape;
  const to = Math.max(0, Math.min(tape.last, position));
  const step = stepAt(tape, to);
  choose(step.row ? step.row.id : state.row, { position: to });
}

// Chooses a row, and opens what it is in.
function choose(id, more = {}) {
  const row = state.tape.byId.get(id);
  const around = row ? closedAround(row) : new Set();
  const same = around.size === state.opened.size && [...around].every((k) => state.opened.has(k));
  change({ row: id, ...more, ...(same ? {} : { opened: around }) });
}
