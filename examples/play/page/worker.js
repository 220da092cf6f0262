// The run, beside the page, so that the page never waits: opens the module, takes orders, and goes on by itself.
"use strict";

const text = new TextDecoder();
let module = null;
let ordered = 0;
let going = false;

// What a function of the module left: a copy of its bytes, or what they say.
function bytes(length) {
  return new Uint8Array(module.memory.buffer, module.play_output(), length).slice();
}
function told(length) {
  const value = JSON.parse(text.decode(bytes(length)));
  if (value?.error) throw new Error(value.error);
  return value;
}

// The module as text: five digits of base 85 for four bytes, of characters that a script element takes as they are.
const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%()*+,./:;=?[]^_{|}~";
function decode(code) {
  const digit = new Uint8Array(128);
  [...DIGITS].forEach((c, i) => (digit[c.charCodeAt(0)] = i));
  const out = new DataView(new ArrayBuffer(4 * Math.ceil(code.length / 5)));
  for (let i = 0; i < code.length; i += 5) {
    let value = 0;
    // What the last ones lack is filled up with the largest digit.
    for (let k = i; k < i + 5; k++) value = 85 * value + (k < code.length ? digit[code.charCodeAt(k)] : 84);
    out.setUint32((4 * i) / 5, value);
  }
  return out.buffer.slice(0, Math.floor((4 * code.length) / 5));
}

async function open(code) {
  const stream = new Blob([decode(code)]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const opened = await WebAssembly.instantiate(await new Response(stream).arrayBuffer(), {});
  module = opened.instance.exports;
}

// A pause in which orders are heard.
const breath = () => new Promise((resolve) => setTimeout(resolve));

async function go() {
  if (going) return;
  going = true;
  const mine = ordered;
  while (going && mine === ordered) {
    const began = performance.now();
    const event = told(module.play_next());
    const ms = performance.now() - began;
    if (!event) {
      going = false;
      postMessage({ kind: "done" });
      break;
    }
    const file = event.event === "file" ? bytes(module.play_file()) : null;
    postMessage({ kind: "event", event, ms, file });
    await breath();
  }
}

function explore() {
  const page = text.decode(bytes(module.play_explore()));
  if (page.startsWith("{")) throw new Error(JSON.parse(page).error);
  postMessage({ kind: "step", page });
}

const orders = {
  async open({ code }) {
    await open(code);
    postMessage({ kind: "open" });
  },
  begin({ seed, quick }) {
    going = false;
    ordered++;
    postMessage({ kind: "samples", samples: told(module.play_begin(seed, quick ? 1 : 0)) });
  },
  go,
  pause() {
    going = false;
    ordered++;
    postMessage({ kind: "paused" });
  },
  read({ pixels }) {
    new Float32Array(module.memory.buffer, module.play_pixels(), 64).set(pixels);
    postMessage({ kind: "read", classes: told(module.play_read()) });
  },
  explore,
};

self.onmessage = async ({ data }) => {
  try {
    await orders[data.kind](data);
  } catch (error) {
    going = false;
    postMessage({ kind: "error", message: String(error.message ?? error) });
  }
};
