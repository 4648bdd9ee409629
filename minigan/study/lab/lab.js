// The page: one state, drawn anew whenever it changes.
const $ = (id) => document.getElementById(id);
const EVERY = 120; // milliseconds a frame
const LAYERS = DIMS === 2
  ? { real: "real points", fake: "generated points", surface: "what D says", lattice: "G's lattice", arrows: "arrows" }
  : { real: "p, data", fake: "q, generator", surface: "D", best: "D* = p / (p + q)", lattice: "z to G(z)", arrows: "arrows" };
const view = { frame: 0, loss: facts.own, part: null, layers: new Set(Object.keys(LAYERS)) };
let timer = null;

const averages = facts.at.map((_, f) => facts.shown.map((_, loss) => mean(lengths(arrowsOf(loss, f)))));
const showCharts = allCharts($("charts"));

function show() {
  const { frame, part } = view, slow = part !== null;
  $("scrub").value = frame;
  const where = `step ${whole(facts.at[frame])} of ${whole(facts.steps)}`;
  $("where").textContent = where;
  $("scrub").setAttribute("aria-valuetext", where);
  $("back").disabled = frame === 0;
  $("on").disabled = frame === FRAMES - 1;
  $("slow").hidden = !slow;
  $("now").hidden = slow;
  if (slow) showPart(PARTS[part](frame));
  else showNow(frame);
  showCharts(frame);
  draw();
}

function showNow(frame) {
  const [d, g] = at("losses", frame);
  const found = DIMS === 2
    ? `${at("modes", frame)[0]} of ${constants.centres.length / 2} modes have a point within ${written(facts.near, 2)}; ${written(100 * at("near", frame)[0], 2)}% of the points are so near to one.`
    : `Mean |D − ½| at the data: ${written(at("from_half", frame)[0], 2)}. Largest |D − D*|: ${written(at("from_optimum", frame)[0], 2)}.`;
  put($("said"), `L_D ${written(d)}, L_G ${written(g)}. ${found}`);
  const most = Math.max(...averages[frame]);
  facts.shown.forEach((_, loss) => {
    $(`length-${loss}`).textContent = written(averages[frame][loss]);
    $(`bar-${loss}`).style.width = `${most ? (100 * averages[frame][loss]) / most : 0}%`;
    $(`loss-${loss}`).checked = loss === view.loss;
  });
}

function showPart({ title, text, rows }) {
  $("caption").replaceChildren(...[title, ...text].map((line) => put(html("p"), line)));
  $("numbers").tBodies[0].replaceChildren(...rows.map(([name, value]) => {
    const row = html("tr");
    put(html("th", { scope: "row" }, row), name);
    html("td", {}, row, value);
    return row;
  }));
  $("part").textContent = `${view.part + 1} of ${PARTS.length}`;
  $("slower").disabled = view.part === 0;
  $("further").textContent = view.part === PARTS.length - 1 ? "Next frame" : "Next";
}

function draw() {
  const canvas = $("scene"), width = canvas.clientWidth, height = DIMS === 2 ? width : Math.round(Math.max(0.8 * width, 340));
  const scale = window.devicePixelRatio || 1;
  canvas.style.height = `${height}px`;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const ctx = canvas.getContext("2d");
  ctx.scale(scale, scale);
  ctx.fillStyle = palette.page;
  ctx.fillRect(0, 0, width, height);
  if (DIMS === 2) drawPlane(ctx, width, view);
  else drawLine(ctx, width, height, view);
  const what = view.part === null
    ? $("said").textContent + ` Arrows of the ${LOSSES[facts.shown[view.loss]].name} loss, mean length ${written(averages[view.frame][view.loss])}.`
    : $("caption").textContent;
  canvas.setAttribute("aria-label", `${$("where").textContent}. ${what}`);
}

// -- what the reader does --------------------------------------------------------------------------------

function go(frame) {
  view.frame = Math.max(0, Math.min(FRAMES - 1, frame));
  if (view.part !== null) view.part = 0;
  show();
}

function pause() {
  clearInterval(timer);
  timer = null;
  $("play").textContent = "Play";
}

function play() {
  if (timer !== null) return pause();
  view.part = null;
  timer = setInterval(() => (view.frame < FRAMES - 1 ? go(view.frame + 1) : pause()), EVERY);
  $("play").textContent = "Pause";
  go(view.frame === FRAMES - 1 ? 0 : view.frame);
}

function seek(frame) {
  pause();
  go(frame);
}

function slowly(part) {
  pause();
  view.part = part === null ? null : Math.max(0, part);
  if (part === PARTS.length) go(view.frame + 1);
  else show();
}

function choose(loss) {
  view.loss = loss;
  show();
}

function step(by) {
  if (view.part === null) seek(view.frame + by);
  else slowly(view.part + by);
}

function keys(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const on = event.target, inside = on.matches("button, input");
  const does = {
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    Home: () => seek(0),
    End: () => seek(FRAMES - 1),
    " ": play,
    s: () => slowly(view.part === null ? 0 : null),
    Escape: () => slowly(null),
    ...Object.fromEntries(facts.shown.map((_, loss) => [String(loss + 1), () => choose(loss)])),
  }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!does || (event.key === " " && inside) || (/^(Arrow|Home|End)/.test(event.key) && on.matches("input"))) return;
  event.preventDefault();
  does();
}

// -- the parts of the page --------------------------------------------------------------------------------

function swatch(parent, kind, colour) {
  const picture = svg("svg", { viewBox: "0 0 24 12", "aria-hidden": "true" }, parent);
  const fill = `fill: var(--${colour})`;
  if (kind === "point") svg("circle", { cx: 12, cy: 6, r: 4, style: fill }, picture);
  else if (kind === "ground") svg("path", { d: "M1 0H23V12H1Z", style: `${fill}; opacity: .47` }, picture);
  else svg("path", { d: "M1 6H23", style: `stroke: var(--${colour}); stroke-width: 2.5`, "stroke-dasharray": kind === "dashes" ? "7 4" : "" }, picture);
}

function build() {
  if (DIMS === 1) $("charts").classList.add("few");
  $("about").textContent = `${whole(facts.steps)} adversarial steps from seed ${facts.seed}. G turns latents z ~ N(0, I) into points; D says how likely each is to be real. `
    + (facts.fixed ? "Only D learns; G stays as it is." : `Each learns from the other, after D has had ${facts.ahead} steps alone.`);
  $("scrub").max = FRAMES - 1;
  const entries = DIMS === 2
    ? [["point", "real", "real"], ["point", "fake", "generated"], ["ground", "real", "D says real"], ["ground", "fake", "D says generated"]]
    : [["line", "real", "p, data"], ["line", "fake", "q, generator"], ["line", "c2", "D"], ["dashes", "best", "D* = p / (p + q)"]];
  for (const [kind, colour, text] of entries) {
    const item = html("li", {}, $("legend"));
    swatch(item, kind, colour);
    item.append(text);
  }
  facts.shown.forEach((key, loss) => {
    const label = html("label", {}, $("losses"));
    const input = html("input", { type: "radio", name: "loss", id: `loss-${loss}` }, label);
    input.addEventListener("change", () => choose(loss));
    const text = html("span", {}, label, LOSSES[key].name + (loss === facts.own ? ", which trains G" : ""));
    html("small", {}, text, LOSSES[key].formula);
    html("span", { class: "length", id: `length-${loss}` }, label);
    html("i", { id: `bar-${loss}` }, html("span", { class: "bar" }, label));
  });
  html("p", { class: "quiet" }, $("losses"), `On the right their mean length. All have one scale, below in the picture; the loss is the mean over these ${whole(at("points", 0).length / DIMS)} points.`);
  for (const [name, text] of Object.entries(LAYERS)) {
    const label = html("label", {}, $("layers"));
    const input = html("input", { type: "checkbox", id: `layer-${name}`, checked: "" }, label);
    input.addEventListener("change", () => { view.layers[input.checked ? "add" : "delete"](name); draw(); });
    label.append(text);
  }
  const [minimax, own] = [facts.shown.indexOf("minimax"), facts.own];
  const share = averages.map((lengths) => lengths[minimax] / lengths[own]), least = share.indexOf(Math.min(...share));
  $("lesson").append("Where D is sure that points are generated, minimax has next to no gradient. ");
  const there = html("button", { type: "button", id: "vanish" }, $("lesson"), `See step ${whole(facts.at[least])}`);
  there.addEventListener("click", () => { view.loss = minimax; seek(least); });
  $("lesson").append(`, where its arrows have ${written(100 * share[least], 2)}% of the length of the non-saturating ones.`);

  $("play").addEventListener("click", play);
  $("back").addEventListener("click", () => seek(view.frame - 1));
  $("on").addEventListener("click", () => seek(view.frame + 1));
  $("scrub").addEventListener("input", () => seek($("scrub").valueAsNumber));
  $("enter").addEventListener("click", () => { slowly(0); $("further").focus(); });
  $("slower").addEventListener("click", () => slowly(view.part - 1));
  $("further").addEventListener("click", () => slowly(view.part + 1));
  $("leave").addEventListener("click", () => { slowly(null); $("enter").focus(); });
  document.addEventListener("keydown", keys);
  window.addEventListener("resize", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readPalette(); draw(); });
}

readPalette();
build();
if (matchMedia("(prefers-reduced-motion: reduce)").matches) go(FRAMES - 1);
else play();
