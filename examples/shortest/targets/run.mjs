// Classes of images, a byte a pixel, that a module gives: node run.mjs MODULE IMAGES PIXELS
import { readFileSync } from "node:fs";

const [module, images, pixels] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(module));
const { memory, pixels: place, answer } = instance.exports;
const all = readFileSync(images);
const size = Number(pixels);
const lines = [];
for (let i = 0; i < all.length; i += size) {
    new Uint8Array(memory.buffer, place(), size).set(all.subarray(i, i + size));
    lines.push(answer());
}
console.log(lines.join("\n"));
