// The worker of docs/play without a browser: prints what it tells as lines of JSON, and writes the last file.
//
//     node examples/play/check.mjs docs/play/index.html digits.kolmo [full]
import { readFileSync, writeFileSync } from "node:fs";

const [path, out, length] = process.argv.slice(2);
const page = readFileSync(path, "utf8");
const part = (id) => page.split(`id="${id}">`)[1].split("</script>")[0];

let last = null;
let samples = null;
const tell = (value) => console.log(JSON.stringify(value));
const heard = {
  open: () => order({ kind: "begin", seed: 0, quick: length !== "full" }),
  samples: (message) => {
    samples = message.samples;
    order({ kind: "go" });
  },
  event: ({ event, ms, file }) => {
    last = file ?? last;
    tell({ ...event, ms: Math.round(ms) });
  },
  done: () => order({ kind: "read", pixels: samples.pixels[0].map((v) => v / 16) }),
  read: ({ classes }) => {
    tell({ event: "read", classes, label: samples.labels[0] });
    order({ kind: "explore" });
  },
  step: ({ page: step }) => {
    tell({ event: "step", bytes: step.length });
    writeFileSync(out, last);
  },
  error: ({ message }) => {
    console.error(message);
    process.exit(1);
  },
};

// What a worker has around it.
const self = { onmessage: null, postMessage: (message) => heard[message.kind](message) };
new Function("self", "postMessage", part("worker"))(self, self.postMessage);
const order = (message) => self.onmessage({ data: message });
order({ kind: "open", code: part("module").trim() });
