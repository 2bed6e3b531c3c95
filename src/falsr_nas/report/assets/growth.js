// Charts over generations: growth of the front, composition of the networks, their links.

const MEASURES = [
  ["hypervolume", "hypervolume of the front", (value) => value.toFixed(4)],
  ["best_psnr", "best PSNR (dB)", (value) => value.toFixed(3)],
  ["front", "networks on the front", (value) => String(value)],
];

const comparable = (runs) => new Set(runs.map((run) => JSON.stringify(run.scale))).size <= 1;

function lineChart(container, width, runs, [measure, label, format], axis) {
  const height = 220,
    box = { left: 50, right: width - 12, top: 30, bottom: height - 44 };
  const series = runs.map((run) => ({
    run,
    points: run.periods
      .filter((period) => period[measure] !== null)
      .map((period) => [
        axis === "generations" ? period.last : period.evaluations,
        period[measure],
      ]),
  }));
  const points = series.flatMap((one) => one.points);
  if (!points.length) return;
  const values = points.map((point) => point[1]),
    low = Math.min(...values),
    high = Math.max(...values),
    margin = 0.06 * (high - low) || 0.01 * Math.abs(high) || 0.5;
  const x = linear([0, Math.max(1, ...points.map((point) => point[0]))], [box.left, box.right]);
  const y = linear([low - margin, high + margin], [box.bottom, box.top]);
  const svg = shape("svg", {
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": label,
  });
  const plot = axes(svg, x, y, box, { xLabel: axis, yLabel: label, xTicks: width / 90, yTicks: 4 });
  for (const { run, points: own } of series) {
    if (!own.length) continue;
    plot.append(
      shape("path", {
        class: "series",
        color: run.color,
        d: `M${own.map(([at, value]) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("L")}`,
      }),
    );
    const [at, value] = own[own.length - 1];
    plot.append(shape("circle", { class: "end", color: run.color, cx: x(at), cy: y(value), r: 3 }));
  }
  const cursor = shape("line", {
    class: "cursor",
    y1: box.top,
    y2: box.bottom,
    visibility: "hidden",
  });
  plot.append(cursor);
  svg.addEventListener("pointermove", (event) => {
    const wanted = x.invert(event.clientX - svg.getBoundingClientRect().left);
    const lines = series
      .filter((one) => one.points.length)
      .map(({ run, points: own }) => {
        const nearest = own.reduce((best, point) =>
          Math.abs(point[0] - wanted) < Math.abs(best[0] - wanted) ? point : best,
        );
        return { nearest, text: `${runs.length > 1 ? `${run.name}: ` : ""}${format(nearest[1])}` };
      });
    const at = lines[0].nearest[0];
    cursor.setAttribute("x1", x(at));
    cursor.setAttribute("x2", x(at));
    cursor.setAttribute("visibility", "visible");
    tip.show(
      event,
      element("strong", {}, `${axis} ${at.toLocaleString("en")}`),
      ...lines.map((line) => line.text),
    );
  });
  svg.addEventListener("pointerleave", () => {
    tip.hide();
    cursor.setAttribute("visibility", "hidden");
  });
  container.append(svg);
}

const generationsOf = (period) =>
  period.first === period.last
    ? `generation ${period.first}`
    : `generations ${period.first} to ${period.last}`;

// Colours of a trait's values: operators as in the drawings, numbers from light to dark.
function traitColors(trait, values) {
  const mixed = (color, share, ground) =>
    `color-mix(in oklab, var(--${color}) ${Math.round(share)}%, var(--${ground}))`;
  if (trait !== "operator")
    return values.map((_, i) =>
      mixed("accent", values.length > 1 ? 12 + (78 * i) / (values.length - 1) : 90, "early"),
    );
  const kinds = values.map((name) => kindOf(`${name}_`));
  return kinds.map((kind, i) =>
    mixed(
      `operator-${kind}`,
      Math.max(25, 100 - 40 * kinds.slice(i + 1).filter((other) => other === kind).length),
      "page",
    ),
  );
}

// Stacked shares of a trait's values, with one column per period.
function shareChart(container, width, run, trait, of) {
  const { values } = run.traits[trait],
    counts = run.traits[trait][of],
    colors = traitColors(trait, values);
  const height = 170,
    box = { left: 38, right: width - 8, top: 8, bottom: height - 40 };
  const periods = run.periods,
    last = periods[periods.length - 1].last + 1;
  const x = linear([0, last], [box.left, box.right]),
    y = linear([0, 1], [box.bottom, box.top]);
  const svg = shape("svg", {
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": `${trait} by generation`,
  });
  const plot = axes(svg, x, y, box, {
    xLabel: "generation",
    xTicks: width / 80,
    yTicks: 2,
    yFormat: percent,
  });
  const column = (period, from, to) => {
    const left = x(period.first).toFixed(2);
    const right = (x(period.last + 1) + 0.2).toFixed(2);
    return `M${left} ${from.toFixed(2)}H${right}V${to.toFixed(2)}H${left}z`;
  };
  values.forEach((value, i) => {
    let path = "";
    periods.forEach((period, at) => {
      const total = counts[at].reduce((sum, count) => sum + count, 0);
      if (!total) return;
      const below = counts[at].slice(0, i).reduce((sum, count) => sum + count, 0) / total,
        share = counts[at][i] / total;
      if (share) path += column(period, y(below), y(below + share));
    });
    plot.append(shape("path", { class: "share", color: colors[i], d: path }));
  });
  svg.addEventListener("pointermove", (event) => {
    const generation = x.invert(event.clientX - svg.getBoundingClientRect().left);
    const at = periods.findIndex((period) => generation < period.last + 1);
    if (at < 0 || generation < 0) return tip.hide();
    const total = counts[at].reduce((sum, count) => sum + count, 0) || 1;
    return tip.show(
      event,
      element("strong", {}, generationsOf(periods[at])),
      ...values.map((value, i) => `${value}: ${percent(counts[at][i] / total)}`).reverse(),
    );
  });
  svg.addEventListener("pointerleave", () => tip.hide());
  const end = counts[counts.length - 1],
    total = end.reduce((sum, count) => sum + count, 0) || 1;
  const key = values.map((value, i) =>
    element(
      "li",
      {},
      colorPatch(colors[i]),
      `${value} `,
      element("span", { class: "quiet" }, percent(end[i] / total)),
    ),
  );
  container.append(element("h3", {}, trait), element("ul", { class: "key" }, ...key), svg);
}

function colorPatch(color) {
  const patch = element("i", { class: "patch" });
  patch.style.background = color;
  return patch;
}

// The links as the paper's matrix c: each square plots the share of networks that have the link, by
// generation.
function linkMatrix(container, width, run, of) {
  const { n, periods } = run,
    counts = run.links[of];
  const sizes = periods.map((period) => period[of] || 1);
  const side = Math.max(9, Math.min(78, (width - 120) / n)),
    gap = side > 24 ? 4 : 1,
    left = 108,
    top = 30;
  const height = top + n * side + 8;
  const svg = shape("svg", {
    width: left + n * side + 4,
    height,
    role: "img",
    "aria-label": "Share of the networks that have each link, by generation",
  });
  for (let node = 0; node < n; node++) {
    if (side > 16)
      svg.append(
        shape(
          "text",
          { class: "quiet", x: left + (node + 0.5) * side, y: top - 8, "text-anchor": "middle" },
          node === 0 ? "from 0" : String(node),
        ),
      );
  }
  const span = periods[periods.length - 1].last + 1;
  for (let target = 2; target <= n + 1; target++) {
    const y = top + (target - 2) * side;
    if (side > 12)
      svg.append(
        shape(
          "text",
          { class: "quiet", x: left - 8, y: y + side / 2 + 3, "text-anchor": "end" },
          target === n + 1 ? "to the upsampler" : `to block ${target}`,
        ),
      );
    for (let node = 0; node < target - 1; node++) {
      const place = run.places.findIndex(([from, to]) => from === node && to === target),
        shares = counts.map((count, at) => count[place] / sizes[at]);
      const x = left + node * side,
        size = side - gap;
      const when = (generation) => (x + (generation / span) * size).toFixed(1);
      const scale = (share) => (y + size - share * size).toFixed(1);
      let path = `M${x} ${y + size}`;
      periods.forEach((period, at) => {
        path += `L${when(period.first)} ${scale(shares[at])}H${when(period.last + 1)}`;
      });
      const end = shares[shares.length - 1];
      const square = shape(
        "g",
        { class: "square", "data-link": `${node}-${target}` },
        shape("rect", { x, y, width: size, height: size, rx: 2 }),
        shape("path", { d: `${path}V${y + size}z` }),
      );
      if (size > 34)
        square.append(
          shape("text", { x: x + size - 4, y: y + 13, "text-anchor": "end" }, percent(end)),
        );
      square.addEventListener("pointermove", (event) =>
        tip.show(
          event,
          element("strong", {}, `${node} → ${target === n + 1 ? "upsampler" : target}`),
          `first generation ${percent(shares[0])}, last ${percent(end)}`,
        ),
      );
      square.addEventListener("pointerleave", () => tip.hide());
      svg.append(square);
    }
  }
  container.append(svg);
}
