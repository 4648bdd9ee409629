"use strict";

// The recording: arrays[name] has one entry a frame, at(name, frame) is that entry.
const KINDS = { u1: Uint8Array, u2: Uint16Array, f4: Float32Array };

function unpacked({ shape, type, bytes }) {
  const raw = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
  return { shape, values: new KINDS[type](raw.buffer) };
}

const stored = JSON.parse(document.getElementById("recording").textContent);
const facts = stored.facts;
const constants = Object.fromEntries(Object.entries(stored.constants).map(([name, array]) => [name, unpacked(array).values]));
const frames = Object.fromEntries(Object.entries(stored.frames).map(([name, array]) => [name, unpacked(array)]));
const FRAMES = facts.at.length, DIMS = facts.data === "line" ? 1 : 2;

function at(name, frame) {
  const { shape, values } = frames[name];
  const size = shape.slice(1).reduce((a, b) => a * b, 1);
  return values.subarray(frame * size, (frame + 1) * size);
}

function arrowsOf(loss, frame) {
  const all = at("arrows", frame), size = all.length / facts.shown.length;
  return all.subarray(loss * size, (loss + 1) * size);
}

// -- numbers ------------------------------------------------------------------------------------------

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));

function lengths(vectors) {
  const found = [];
  for (let i = 0; i < vectors.length; i += DIMS) found.push(Math.hypot(...vectors.subarray(i, i + DIMS)));
  return found;
}

function written(value, digits = 3) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) {
    const power = Math.floor(Math.log10(size) + 1e-12);
    return signed((value / 10 ** power).toFixed(digits - 1)) + "·10" + superscript(power);
  }
  return signed(value.toFixed(Math.max(0, digits - 1 - Math.floor(Math.log10(size)))));
}

const signed = (text) => text.replace("-", "−");
const superscript = (n) => String(n).replace(/[-\d]/g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c]));
const vector = (values, i) => {
  const parts = [...values.subarray(i * DIMS, (i + 1) * DIMS)].map((v) => written(v));
  return DIMS === 1 ? parts[0] : `(${parts.join(", ")})`;
};
const whole = (n) => n.toLocaleString("en");

function round125(value) { // the next of 1, 2 or 5 times a power of ten that is not below
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((n) => n * power >= value * (1 - 1e-9)) * power;
}

function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
