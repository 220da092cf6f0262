// Opens the tape and connects buttons and keys.
onChange((changed) => {
  if (changed.has("tape")) drawTitle();
  if (changed.has("tape") && compared) drawStepChoice();
});

function openTape(tape, lesson = -1) {
  prepare(tape);
  $("search").value = "";
  change({ tape, lesson, position: 0, row: tape.rows[0]?.id ?? null, closed: startClosed(tape, state.fold), opened: new Set(), query: "" });
}

function drawTitle() {
  const tape = state.tape;
  const last = tape.byId.get(tape.seed);
  const kept = tape.rows.reduce((s, r) => s + r.bytes, 0);
  const spent = tape.rows.reduce((s, r) => s + r.nanos + r.backward_nanos, 0);
  $("title").textContent = tape.title;
  const facts = [plural(tape.rows.length, "statement"), tape.dtype, `${bytes(kept)} kept`];
  if (spent) facts.push(time(spent));
  if (last?.value) facts.push(`result ${short(last.value.first[0])}`);
  $("facts").textContent = facts.join(" · ");
  const places = (f) => tape.rows.some(f);
  $("warn").textContent = places((r) => r.badges.some((b) => b.kind === "nan")) ? "This tape has values that are not finite: search for “finite” or “NaN”." : "";
}

function start() {
  $("tab-lessons").hidden = !taught;
  for (const name of TABS) {
    $(`tab-${name}`).addEventListener("click", () => change({ tab: name }));
    $(`tab-${name}`).addEventListener("keydown", (e) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
      if (!by) return;
      e.stopPropagation();
      const to = TABS[(TABS.indexOf(name) + by + TABS.length) % TABS.length];
      change({ tab: to });
      $(`tab-${to}`).focus();
    });
  }
  $("first").addEventListener("click", () => moveTo(0));
  $("back").addEventListener("click", () => moveTo(state.position - 1));
  $("next").addEventListener("click", () => moveTo(state.position + 1));
  $("turn").addEventListener("click", () => moveTo(state.tape.seed ? state.tape.rows.length + 1 : state.tape.last));
  $("end").addEventListener("click", () => moveTo(state.tape.last));
  $("head-slider").addEventListener("input", (e) => moveTo(Number(e.target.value)));
  $("fold").addEventListener("change", (e) => change({ fold: e.target.value, closed: startClosed(state.tape, e.target.value), opened: new Set() }));
  $("search").addEventListener("input", (e) => change({ query: e.target.value }));
  $("search").addEventListener("keydown", (e) => {
    const first = view.at.keys().next().value;
    if (e.key === "Enter" && first !== undefined) {
      change({ tab: "statement" });
      choose(first);
    }
    if (e.key === "Escape") {
      e.target.value = "";
      change({ query: "" });
      e.target.blur();
    }
  });
  $("tape").addEventListener("scroll", () => showWindow());
  new ResizeObserver(() => state.tape && showWindow()).observe($("tape"));
  $("predict").addEventListener("click", togglePredict);
  $("theme").addEventListener("click", toggleTheme);
  $("keys").addEventListener("click", () => $("help").showModal());
  document.addEventListener("keydown", onKey);
  startCompare();
  if (whole.tape.rows.some((row) => row.layer)) {
    state.fold = "layer";
    $("fold").value = "layer";
  }
  openTape(whole.tape);
  showTab();
  drawDetail();
  document.documentElement.dataset.ready = "true";
}

// A long tape opens with its groups closed.
function startClosed(tape, fold) {
  const closed = new Set();
  if (tape.rows.length <= 80) return closed;
  const walk = (items) => items.forEach((g) => {
    if (!g.items) return;
    if (g.rows.length < tape.rows.length) closed.add(g.key);
    walk(g.items);
  });
  walk(groupsOf(tape, fold));
  return closed;
}

function togglePredict() {
  const on = !state.predict;
  $("predict").setAttribute("aria-pressed", String(on));
  change({ predict: on });
  if (on && !sweeping(state.tape, state.position) && state.tape.seed) moveTo(state.tape.rows.length + 1);
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

function onKey(e) {
  const typing = e.target.matches("input:not([type=range]), select, textarea") || document.querySelector("dialog[open]");
  if (typing || e.ctrlKey || e.metaKey || e.altKey) return;
  // A button does what it is for.
  if (e.key === "Enter" && e.target.matches("button, .node")) return;
  const chooseNext = (by) => {
    const rows = [...view.at.keys()];
    const i = rows.indexOf(state.row);
    const to = rows[Math.max(0, Math.min(rows.length - 1, i + by))];
    const inside = document.activeElement?.closest("#tape");
    if (to !== undefined) choose(to);
    if (inside) lines.get(state.row)?.node.focus();
  };
  const keys = {
    ArrowRight: () => moveTo(state.position + 1),
    ArrowLeft: () => moveTo(state.position - 1),
    ArrowDown: () => chooseNext(1),
    ArrowUp: () => chooseNext(-1),
    PageDown: () => chooseNext(10),
    PageUp: () => chooseNext(-10),
    o: turnStep,
    Home: () => moveTo(0),
    End: () => moveTo(state.tape.last),
    Enter: () => change({ tab: "statement", row: state.row }),
    s: () => moveTo(state.tape.seed ? state.tape.rows.length + 1 : state.tape.last),
    "/": () => $("search").focus(),
    p: togglePredict,
    t: toggleTheme,
    g: () => moveTo(positionOf(state.tape, state.tape.byId.get(state.row))),
    "?": () => $("help").showModal(),
  };
  const number = Number(e.key);
  if (number >= 1 && number <= TABS.length) keys[e.key] = () => change({ tab: TABS[number - 1] });
  if (!keys[e.key]) return;
  e.preventDefault();
  keys[e.key]();
}

start();
