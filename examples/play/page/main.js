// Starts the worker and shows what it tells.
const QUICK = location.hash === "#quick";
const source = URL.createObjectURL(new Blob([$("worker").textContent], { type: "text/javascript" }));
const worker = new Worker(source);
const send = (kind, more = {}) => worker.postMessage({ kind, ...more });
const mode = { going: false, over: false, waiting: false, next: null };

function begin() {
  forget();
  Object.assign(mode, { going: true, over: false });
  const seed = Math.min(Math.max(Math.trunc(Number($("seed").value)) || 0, 0), 4294967295);
  $("seed").value = seed;
  send("begin", { seed, quick: QUICK });
  send("explore");
  send("go");
  for (const id of ["pause", "again", "step"]) $(id).disabled = false;
  $("save").disabled = true;
  $("file-note").textContent = "It is written when the run is over.";
  drawButtons();
}

function drawButtons() {
  $("pause").textContent = mode.going || mode.over ? "Pause" : "Go on";
  $("pause").disabled = mode.over;
}

function say(text) {
  if ($("status").textContent !== text) $("status").textContent = text;
}

// The newest drawing is read; those in between are left out.
function askReading(values) {
  if (!values) {
    mode.next = null;
    drawReading(null);
    return;
  }
  mode.next = values;
  if (mode.waiting) return;
  mode.waiting = true;
  send("read", { pixels: values });
  mode.next = null;
}

const heard = {
  open: begin,
  samples({ samples }) {
    run.samples = samples;
    drawSamples();
    drawAll();
    say(`${grouped(samples.train)} images to learn from, ${grouped(samples.test)} to test with.`);
    document.documentElement.dataset.ready = "true";
  },
  event({ event, ms, file }) {
    // What a run told that has been given up.
    if (!run.samples) return;
    run.spent[event.stage] = (run.spent[event.stage] ?? 0) + ms;
    if (event.event === "epoch") {
      run.epochs.push(event);
      run.answers = event.answers;
      $("progress").value = event.done / event.epochs;
      say({ train: "It learns.", prune: "The smallest weights go, a few in each round.", quantise: "Weights share eight values, and these learn." }[event.stage]);
      if (!empty() && !mode.waiting) askReading(pixels());
    } else {
      run.files.push(event);
      run.file = file;
      if (!looking()) send("explore");
      else $("step-note").textContent = "The run has gone on.";
    }
    schedule();
  },
  done() {
    Object.assign(mode, { going: false, over: true });
    const [first, last] = [run.files[0], run.files.at(-1)];
    say(`Done: ${grouped(last.bytes)} bytes instead of ${grouped(4 * first.parameters)}, ${percent(last.accuracy)} right.`);
    $("save").disabled = false;
    $("file-note").textContent = `${grouped(last.bytes)} bytes; kolmo's Artifact::load reads it, and so does docs/python.`;
    document.documentElement.dataset.done = "true";
    drawButtons();
    if (!empty()) askReading(pixels());
  },
  paused() {},
  read({ classes }) {
    mode.waiting = false;
    if (!empty()) drawReading(classes);
    if (mode.next) askReading(mode.next);
  },
  step({ page }) {
    $("explorer").srcdoc = page;
    $("step-note").textContent = "";
  },
  error({ message }) {
    mode.going = false;
    mode.waiting = false;
    say(`It stopped: ${message}`);
    drawButtons();
  },
};
worker.onmessage = ({ data }) => heard[data.kind](data);
worker.onerror = (e) => heard.error({ message: e.message || "the worker could not be started" });

const looking = () => document.activeElement === $("explorer");

// One drawing for all that was told in a tenth of a second.
let planned = false;
function schedule() {
  if (planned) return;
  planned = true;
  setTimeout(() => requestAnimationFrame(() => {
    planned = false;
    drawAll();
  }), 100);
}

function drawAll() {
  drawCurves();
  drawBytes();
  drawFiles();
  drawAnswers();
}

function drawSamples() {
  $("samples").replaceChildren(...run.samples.pixels.map((image, i) => {
    const canvas = make("canvas", { width: 32, height: 32 });
    drawPixels(canvas, image);
    return make("button", { class: "sample", click: () => showOnPad(image), "aria-label": `A ${run.samples.labels[i]}` }, canvas, make("span", {}, "?"));
  }));
}

// What is painted has the colours of the moment.
function repaint() {
  padChanged();
  if (!run.samples) return;
  drawSamples();
  drawAnswers();
}

function drawAnswers() {
  [...$("samples").children].forEach((button, i) => {
    const answer = run.answers[i];
    const right = answer === run.samples.labels[i];
    button.lastChild.textContent = answer ?? "?";
    button.classList.toggle("wrong", answer !== undefined && !right);
    button.setAttribute("aria-label", `A ${run.samples.labels[i]}${answer === undefined ? "" : `, taken for ${answer}`}`);
  });
}

$("pause").addEventListener("click", () => {
  mode.going = !mode.going;
  send(mode.going ? "go" : "pause");
  drawButtons();
});
$("again").addEventListener("click", begin);
$("seed").addEventListener("keydown", (e) => e.key === "Enter" && begin());
$("step").addEventListener("click", () => send("explore"));
$("save").addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob([run.file], { type: "application/octet-stream" }));
  make("a", { href: url, download: "digits.kolmo" }).click();
  URL.revokeObjectURL(url);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);

connectPad();
drawAll();
new ResizeObserver(schedule).observe($("loss"));
padChanged();
// The page is shown before the module is opened.
requestAnimationFrame(() => setTimeout(() => {
  send("open", { code: $("module").textContent.trim() });
}));
