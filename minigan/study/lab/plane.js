// Points in a plane: what D says, G's lattice, real and generated points, arrows.
const ARROW = 0.18; // of the picture's width, for a long arrow
let palette;

function readPalette() {
  const style = getComputedStyle(document.documentElement);
  palette = Object.fromEntries(["page", "ink", "quiet", "rule", "real", "fake", "best", "c2", "edge"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

const rgb = (hex) => (hex.length === 4 ? [...hex.slice(1)].map((c) => parseInt(c + c, 16)) : [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));

// A length of arrows that is a round number, the same for every loss, so that lengths can be compared.
function arrowUnit(frame) {
  const long = Math.max(...facts.shown.map((_, loss) => percentile(lengths(arrowsOf(loss, frame)), 0.9)));
  return long > 0 ? round125(long) : 1;
}

function drawArrow(ctx, x0, y0, x1, y1) {
  const length = Math.hypot(x1 - x0, y1 - y0), head = Math.min(5, 0.45 * length);
  if (length < 0.5) return;
  const ux = (x1 - x0) / length, uy = (y1 - y0) / length;
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.moveTo(x1 - head * (ux + 0.6 * uy), y1 - head * (uy - 0.6 * ux));
  ctx.lineTo(x1, y1);
  ctx.lineTo(x1 - head * (ux - 0.6 * uy), y1 - head * (uy + 0.6 * ux));
  ctx.stroke();
}

function dots(ctx, points, place, radius, colour, outline) {
  ctx.fillStyle = colour;
  ctx.strokeStyle = palette.page;
  ctx.lineWidth = 1;
  for (let i = 0; i < points.length; i += 2) {
    ctx.beginPath();
    ctx.arc(...place(points[i], points[i + 1]), radius, 0, 7);
    ctx.fill();
    if (outline) ctx.stroke();
  }
}

function drawSurface(ctx, values, size) {
  const side = facts.side, small = document.createElement("canvas");
  small.width = small.height = side;
  const image = new ImageData(side, side), real = rgb(palette.real), fake = rgb(palette.fake);
  values.forEach((byte, i) => {
    const t = (byte / 255) * 2 - 1;
    image.data.set([...(t > 0 ? real : fake), 120 * Math.abs(t)], 4 * i);
  });
  small.getContext("2d").putImageData(image, 0, 0);
  ctx.imageSmoothingEnabled = true;
  ctx.drawImage(small, 0, 0, size, size);
}

function drawLattice(ctx, lines, place) {
  ctx.strokeStyle = palette.ink;
  ctx.globalAlpha = 0.3;
  ctx.lineWidth = 0.8;
  const to = (v) => ((v / 65535) * 2 - 1) * facts.wide, size = 2 * facts.along;
  for (let start = 0; start < lines.length; start += size) {
    ctx.beginPath();
    for (let i = start; i < start + size; i += 2) ctx.lineTo(...place(to(lines[i]), to(lines[i + 1])));
    ctx.stroke();
  }
  ctx.globalAlpha = 1;
}

// A length with its number, on a ground that can be read over anything.
function scaleBar(ctx, length, text, y) {
  ctx.font = `13px ${getComputedStyle(document.body).fontFamily}`;
  ctx.globalAlpha = 0.85;
  ctx.fillStyle = palette.page;
  ctx.fillRect(6, y - 14, length + ctx.measureText(text).width + 24, 22);
  ctx.globalAlpha = 1;
  ctx.strokeStyle = ctx.fillStyle = palette.ink;
  ctx.lineWidth = 1.5;
  drawArrow(ctx, 12, y - 3, 12 + length, y - 3);
  ctx.fillText(text, length + 20, y + 2);
}

function ring(ctx, x, y) {
  ctx.strokeStyle = palette.ink;
  ctx.lineWidth = 2;
  ctx.beginPath();
  ctx.arc(x, y, 8, 0, 7);
  ctx.stroke();
}

function drawPlane(ctx, size, { frame, loss, part, layers }) {
  const place = (x, y) => [(x / facts.half + 1) * (size / 2), (1 - y / facts.half) * (size / 2)];
  const slow = part !== null, fake = slow ? at("fake", frame) : at("points", frame);
  if (layers.has("surface")) drawSurface(ctx, at(slow && part >= 2 ? "surface_after" : "surface", frame), size);
  if (layers.has("lattice")) drawLattice(ctx, at("lines", frame), place);
  if (layers.has("real") && !(slow && part === 0)) dots(ctx, slow ? at("real", frame) : constants.data, place, 2, palette.real, false);
  if (layers.has("fake")) dots(ctx, slow && part === 6 ? at("moved", frame) : fake, place, 3, palette.fake, true);

  const arrows = (from, by, pixels) => {
    ctx.strokeStyle = palette.ink;
    ctx.lineWidth = 1.2;
    for (let i = 0; i < from.length; i += 2) {
      const [x, y] = place(from[i], from[i + 1]);
      drawArrow(ctx, x, y, x + by[i] * pixels, y - by[i + 1] * pixels);
    }
  };
  if (slow && part === 6) {
    const by = moves(frame), times = moveFactor(by, 2 * facts.half), pixels = size / (2 * facts.half);
    arrows(fake, by.map((v) => v * times), pixels);
    scaleBar(ctx, (ARROW * size), `${written((ARROW * 2 * facts.half) / times, 2)} moved`, size - 14);
  } else if (slow ? part >= 4 : layers.has("arrows")) {
    const unit = arrowUnit(frame);
    arrows(fake, slow ? at("push", frame) : arrowsOf(loss, frame), (ARROW * size) / unit);
    scaleBar(ctx, ARROW * size, written(unit, 1), size - 14);
  }
  if (slow) ring(ctx, ...place(...(part === 6 ? at("moved", frame) : fake).subarray(0, 2)));
}

// -- how far one step moves G's points ------------------------------------------------------------------

function moves(frame) {
  const fake = at("fake", frame);
  return at("moved", frame).map((v, i) => v - fake[i]);
}

function moveFactor(by, width) { // how many times longer than they are the moves are drawn
  const long = percentile(lengths(by), 0.9);
  return long > 0 ? round125((0.3 * ARROW * width) / long) : 1;
}
