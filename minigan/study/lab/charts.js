// Curves over the run, as SVG, with a cursor at the frame that is shown.
const CHART = { width: 400, height: 210, left: 50, right: 10, top: 12, bottom: 26 };
const SVG = "http://www.w3.org/2000/svg";

function svg(name, attributes, parent, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

function html(name, attributes = {}, parent = null, text = undefined) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

// Text in which L_D and L_G have their letters below the line.
function put(element, text) {
  const parts = text.split(/_([DG])/);
  element.replaceChildren(...parts.map((part, i) => (i % 2 ? html("sub", {}, null, part) : part)));
  return element;
}

function axis(low, high, from, to, log) {
  const scaled = log ? Math.log10 : (v) => v;
  const a = scaled(low), b = scaled(high);
  const place = (v) => from + ((scaled(v) - a) / (b - a)) * (to - from);
  const every = log ? Math.max(1, Math.ceil((b - a) / 4)) : round125((b - a) / 4);
  const ticks = [];
  for (let i = Math.ceil(a / every - 1e-9); i * every <= b + 1e-9 * Math.abs(b); i++) ticks.push(log ? 10 ** (i * every) : i * every + 0);
  return { place, ticks };
}

function limits(values, log, unit) {
  const known = values.filter((v) => Number.isFinite(v) && !(log && v <= 0));
  if (!known.length) return log ? [0.1, 1] : [0, 1];
  let low = Math.min(...known), high = Math.max(...known);
  if (log) return [10 ** Math.floor(Math.log10(low)), 10 ** Math.max(Math.ceil(Math.log10(high)), Math.floor(Math.log10(low)) + 1)];
  if (unit) return [0, unit];
  if (low > 0 && low < high / 2) low = 0;
  return high - low > 1e-9 ? [low, high] : [low - 0.5, high + 0.5];
}

// series: [{ name, values }], one value a frame. Returns a function that moves the cursor and writes the values.
function chart(parent, { title, series, log = false, unit = 0 }) {
  const { width, height, left, right, top, bottom } = CHART;
  const figure = html("figure", {}, parent);
  html("h3", {}, figure, title + (log ? ", logarithmic" : ""));
  const legend = html("ul", { class: "legend" }, figure);
  const now = series.map(({ name }, i) => {
    const item = html("li", {}, legend);
    svg("path", { class: `line c${i}`, d: "M1 6H23" }, svg("svg", { viewBox: "0 0 24 12", "aria-hidden": "true" }, item));
    item.append(name + " ");
    return html("b", {}, item);
  });
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img" }, figure);
  const every = series.flatMap(({ values }) => [...values]);
  const x = axis(0, Math.max(1, facts.at[FRAMES - 1]), left, width - right, false);
  const y = axis(...limits(every, log, unit), height - bottom, top, log);
  for (const tick of y.ticks) {
    svg("path", { class: "grid", d: `M${left} ${y.place(tick)}H${width - right}` }, picture);
    svg("text", { x: left - 6, y: y.place(tick) + 4, "text-anchor": "end" }, picture, log ? written(tick, 1) : String(+tick.toPrecision(6)));
  }
  svg("path", { class: "frame", d: `M${left} ${height - bottom}H${width - right}` }, picture);
  for (const tick of x.ticks) {
    if (tick !== Math.round(tick)) continue;
    const end = x.place(tick) > width - 30;
    svg("text", { x: end ? width - right : x.place(tick), y: height - 8, "text-anchor": end ? "end" : "middle" }, picture, whole(tick));
  }
  series.forEach(({ values }, i) => {
    const points = [...values].map((v, f) => [x.place(facts.at[f]), y.place(v)]).filter((p) => p.every(Number.isFinite));
    const d = points.map((p) => p.map((v) => v.toFixed(1)).join(" ")).join("L");
    if (points.length) svg("path", { class: `line c${i}`, d: `M${d}` }, picture);
  });
  const cursor = svg("path", { class: "cursor" }, picture);
  return (frame) => {
    const place = x.place(facts.at[frame]);
    cursor.setAttribute("d", `M${place} ${top}V${height - bottom}`);
    const said = series.map(({ name, values }, i) => `${name} ${(now[i].textContent = written(values[frame]))}`);
    picture.setAttribute("aria-label", `${title} at step ${whole(facts.at[frame])}: ${said.join(", ")}`);
  };
}

// How many points are near to each mode, as bars beside what each should have.
function modeBars(parent) {
  const modes = constants.centres.length / 2, width = 400, height = 190, left = 50, apart = (width - left - 10) / modes;
  const figure = html("figure", {}, parent);
  const heading = html("h3", {}, figure);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img" }, figure);
  const most = Math.max(2 / modes, ...frames.occupied.values), place = (share) => height - 4 - (share / most) * (height - 20);
  const bars = Array.from({ length: modes }, (_, k) => svg("rect", { class: "mode", x: left + k * apart + 1, width: apart - 2 }, picture));
  svg("path", { class: "cursor", d: `M${left} ${place(1 / modes)}H${width - 10}` }, picture);
  svg("text", { x: left - 6, y: place(1 / modes) + 4, "text-anchor": "end" }, picture, `1/${modes}`);
  svg("path", { class: "frame", d: `M${left} ${height - 4}H${width - 10}` }, picture);
  return (frame) => {
    const shares = at("occupied", frame);
    bars.forEach((bar, k) => {
      bar.setAttribute("y", place(shares[k]));
      bar.setAttribute("height", height - 4 - place(shares[k]));
    });
    heading.textContent = `Share of points at each mode: ${at("modes", frame)[0]} of ${modes} have some`;
    picture.setAttribute("aria-label", `${heading.textContent}: ${[...shares].map((s) => written(s, 2)).join(", ")}`);
  };
}

function allCharts(parent) {
  const column = (name, i) => {
    const { shape, values } = frames[name], wide = shape[1] ?? 1;
    return Array.from({ length: FRAMES }, (_, f) => values[f * wide + i]);
  };
  const layers = (name) => Array.from(at(name, 0), (_, i) => ({ name: `layer ${i + 1}`, values: column(name, i) }));
  const drawn = [];
  if (DIMS === 2) {
    drawn.push(modeBars(parent));
    drawn.push(chart(parent, { title: "Modes with a point nearby", unit: constants.centres.length / 2, series: [{ name: "modes", values: column("modes", 0) }] }));
    drawn.push(chart(parent, { title: "Points near to a mode", unit: 1, series: [{ name: "share", values: column("near", 0) }] }));
  } else {
    drawn.push(chart(parent, { title: "How far D is from where it should be", series: [
      { name: "mean |D − ½| at the data", values: column("from_half", 0) },
      { name: "largest |D − D*|", values: column("from_optimum", 0) },
    ] }));
  }
  drawn.push(chart(parent, { title: "Losses", series: ["D", "G"].map((name, i) => ({ name, values: column("losses", i) })) }));
  drawn.push(chart(parent, { title: "Gradient's norm in D's layers", log: true, series: layers("norms_d") }));
  drawn.push(chart(parent, { title: "Gradient's norm in G's layers", log: true, series: layers("norms_g") }));
  return (frame) => drawn.forEach((show) => show(frame));
}
