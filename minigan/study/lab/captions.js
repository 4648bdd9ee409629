// One adversarial step in seven parts, each with the numbers that it had.
const LOSSES = {
  "minimax": { name: "Minimax", formula: "mean log(1 − σ(D))" },
  "non-saturating": { name: "Non-saturating", formula: "−mean log σ(D)" },
  "least-squares": { name: "Least squares", formula: "mean (D − 1)² / 2" },
  "wasserstein": { name: "Wasserstein", formula: "−mean D" },
};

const PARTS = [
  (f) => ({
    title: "1. Draw latents; G makes points of them",
    text: [`${facts.batch} latents z ~ N(0, I) are drawn, and x = G(z). One of the points is ringed, to be followed.`],
    rows: [["ringed: z", vectorOf("z", f)], ["ringed: x = G(z)", vectorOf("fake", f)]],
  }),
  (f) => ({
    title: "2. D gives every point a logit",
    text: [`${facts.batch} real points, and the generated ones. σ(D) is how likely D thinks that a point is real.`],
    rows: [
      ["real: mean logit", logits("logits_real", f)],
      ["generated: mean logit", logits("logits_fake", f)],
      ["ringed: logit", logit("logits_fake", f)],
    ],
  }),
  (f) => {
    const [plain, all] = at("step_losses", f);
    return {
      title: "3. D's loss, its gradient, and D moves",
      text: [
        "L_D = −mean log σ(D(x)) − mean log(1 − σ(D(G(z))))" + (facts.fixed ? "." : ", and R1 = γ/2 · mean |∂D/∂x|² at real points, which keeps D smooth."),
        "Adam takes the gradient, and D has moved; nothing flows back into G.",
      ],
      rows: [
        ...(facts.fixed ? [] : [["cross-entropy", written(plain)], ["R1", written(all - plain)]]),
        ["L_D", written(all)],
        ...[...at("norms_d", f)].map((norm, i) => [`gradient's norm, D's layer ${i + 1}`, written(norm)]),
      ],
    };
  },
  (f) => ({
    title: "4. The new D looks at the same points",
    text: ["The generated points have not moved; D has learned to tell them apart a little better, or to mind them less."],
    rows: [
      ["generated: mean logit before", logits("logits_fake", f)],
      ["and now", logits("logits_after", f)],
      ["ringed: logit before", logit("logits_fake", f)],
      ["and now", logit("logits_after", f)],
    ],
  }),
  (f) => ({
    title: "5. Where each point should go: −∂L_G/∂x",
    text: [`${LOSSES[facts.shown[facts.own]].name}: L_G = ${LOSSES[facts.shown[facts.own]].formula}. Its gradient with respect to the points is the only message that D ever sends to G.`],
    rows: [
      ["L_G", written(at("step_losses", f)[2])],
      ["mean length of −∂L_G/∂x", written(mean(lengths(at("push", f))))],
      ["ringed: −∂L_G/∂x", vectorOf("push", f)],
    ],
  }),
  (f) => ({
    title: facts.fixed ? "6. G would move; here it is held" : "6. The message goes on into G's weights, and G moves",
    text: ["∂L_G/∂θ = Σ ∂L_G/∂x · ∂x/∂θ over all points: no point moves by itself, all share G's weights." + (facts.fixed ? " G's learning rate is 0." : "")],
    rows: [...at("norms_g", f)].map((norm, i) => [`gradient's norm, G's layer ${i + 1}`, written(norm)]),
  }),
  (f) => {
    const by = moves(f), width = DIMS === 1 ? facts.to - facts.from : 2 * facts.half;
    return {
      title: "7. The same latents make new points",
      text: [facts.fixed ? "They are the old ones." : `The arrows are the way that each point went, drawn ${stretched(moveFactor(by, width))}.`],
      rows: [
        ["mean way", written(mean(lengths(by)))],
        ["ringed: x before", vectorOf("fake", f)],
        ["and now", vectorOf("moved", f)],
      ],
    };
  },
];

const stretched = (times) => (times === 1 ? "as long as it is" : times > 1 ? `${whole(times)} times longer` : `${whole(1 / times)} times shorter`);

function vectorOf(name, frame) {
  return vector(at(name, frame), 0);
}

function logits(name, frame) {
  const values = at(name, frame);
  return `${written(mean(values))}, mean σ(D) = ${written(mean(values.map(sigmoid)))}`;
}

function logit(name, frame) {
  const value = at(name, frame)[0];
  return `${written(value)}, σ(D) = ${written(sigmoid(value))}`;
}
