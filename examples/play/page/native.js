// The table of files, and the times beside those of the native program.
const native = JSON.parse($("native").textContent);
const STAGES = ["train", "prune", "quantise"];

function drawFiles() {
  const dense = run.files[0];
  const floats = dense ? 4 * dense.parameters : 0;
  const row = (stage, i) => {
    const f = run.files.find((file) => file.stage === stage);
    const cells = f
      ? [grouped(f.kept), grouped(f.bytes), `1 / ${(floats / f.bytes).toFixed(1)}`, percent(f.accuracy)]
      : ["", "", "", ""];
    const spent = run.spent[stage];
    return make("tr", {}, make("th", { scope: "row" }, NAMES[stage]), cells.map((c) => make("td", {}, c)),
      make("td", {}, spent ? seconds(spent) : ""), make("td", {}, seconds(1000 * native.seconds[i])));
  };
  const all = Object.values(run.spent).reduce((a, b) => a + b, 0);
  const own = 1000 * native.seconds.reduce((a, b) => a + b, 0);
  const total = make("tr", { class: "total" }, make("th", { scope: "row" }, "all"), Array.from({ length: 4 }, () => make("td")),
    make("td", {}, all ? seconds(all) : ""), make("td", {}, seconds(own)));
  $("files").replaceChildren(...STAGES.map(row), total);
  const threads = `${native.threads} thread${native.threads === 1 ? "" : "s"}`;
  $("times").textContent = `Here: time that this browser computes, on one thread with 128-bit vectors. Native: the same program, cargo run --release -p kolmo-play, on another machine (${native.processor}, ${native.instructions}, ${threads}, ${native.measure}).`;
}
