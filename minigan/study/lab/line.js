// Points on a line: densities and D above, the generator's lines from z to x below.
function drawLine(ctx, width, height, { frame, loss, part, layers }) {
  const slow = part !== null, top = 16, floor = 0.56 * height, band = 0.68 * height, below = 0.93 * height;
  const x = (v) => ((v - facts.from) / (facts.to - facts.from)) * width;
  const count = constants.p.length, at_x = (i) => (i / (count - 1)) * width;
  const curve = (values, colour, dash = []) => {
    ctx.strokeStyle = colour;
    ctx.lineWidth = 2;
    ctx.setLineDash(dash);
    ctx.beginPath();
    let open = false;
    values.forEach((v, i) => {
      const y = floor - v * (floor - top);
      if (Number.isFinite(v)) open ? ctx.lineTo(at_x(i), y) : ctx.moveTo(at_x(i), y);
      open = Number.isFinite(v);
    });
    ctx.stroke();
    ctx.setLineDash([]);
  };
  const across = (y, colour) => {
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1;
    ctx.beginPath();
    ctx.moveTo(0, y);
    ctx.lineTo(width, y);
    ctx.stroke();
  };
  const label = (text, px, py, align = "left", colour = palette.quiet) => {
    ctx.fillStyle = colour;
    ctx.textAlign = align;
    ctx.fillText(text, px, py);
    ctx.textAlign = "left";
  };
  ctx.font = `13px ${getComputedStyle(document.body).fontFamily}`;
  for (const [share, text] of [[1, "1"], [0.5, "½"]]) {
    const y = floor - share * (floor - top);
    across(y, palette.rule);
    label(text, width - 6, y + 14, "right");
    label(text, 6, y + 14);
  }
  if (layers.has("real")) curve(constants.p, palette.real);
  if (layers.has("fake")) curve(at("q", frame), palette.fake);
  if (layers.has("best")) curve(at("optimum", frame), palette.best, [7, 4]);
  if (layers.has("surface")) curve(at(slow && part >= 2 ? "surface_after" : "surface", frame), palette.c2);
  across(floor, palette.edge);
  for (let tick = Math.ceil(facts.from) + 1; tick < facts.to; tick++) label(signed(String(tick)), x(tick), floor + 14, "center");
  label("x", width - 8, floor + 14, "right");

  across(band, palette.edge);
  across(below, palette.edge);
  label("x = G(z)", width - 8, band + 16, "right");
  label("z", width - 8, below + 16, "right");
  if (layers.has("lattice")) {
    ctx.strokeStyle = palette.fake;
    ctx.lineWidth = 1;
    at("lines", frame).forEach((to, i) => drawArrow(ctx, x(constants.latents[i]), below, x(to), band));
  }
  for (let tick = -3; tick <= 3; tick++) label(signed(String(tick)), x(tick), below + 16, "center");

  const fake = slow ? at(part === 6 ? "moved" : "fake", frame) : at("points", frame);
  const rows = 10, row = (i) => floor + 22 + ((i % rows) / (rows - 1)) * (band - floor - 28), shown = Math.min(80, fake.length);
  const ticks = (points, colour) => {
    ctx.fillStyle = colour;
    for (let i = 0; i < shown; i++) ctx.fillRect(x(points[i]) - 1.5, row(i) - 1.5, 3, 3);
  };
  if (layers.has("real") && slow && part > 0 && part < 4) ticks(at("real", frame), palette.real);
  if (layers.has("fake")) ticks(fake, palette.fake);
  const arrows = (from, by, pixels) => {
    ctx.strokeStyle = palette.ink;
    ctx.lineWidth = 1.2;
    for (let i = 0; i < shown; i++) drawArrow(ctx, x(from[i]), row(i), x(from[i]) + by[i] * pixels, row(i));
  };
  if (slow && part === 6) {
    const by = moves(frame), times = moveFactor(by, facts.to - facts.from), pixels = width / (facts.to - facts.from);
    arrows(at("fake", frame), by.map((v) => v * times), pixels);
    scaleBar(ctx, ARROW * width, `${written((ARROW * (facts.to - facts.from)) / times, 2)} moved`, band + 12);
  } else if (slow ? part >= 4 : layers.has("arrows")) {
    const unit = arrowUnit(frame);
    arrows(fake, slow ? at("push", frame) : arrowsOf(loss, frame), (ARROW * width) / unit);
    scaleBar(ctx, ARROW * width, written(unit, 1), band + 12);
  }
  if (slow) ring(ctx, x(fake[0]), row(0));
}
