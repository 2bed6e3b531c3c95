// PSNR against cost: all candidates on a canvas, and the front as points for mouse and keyboard.

const GENERATION_COLORS = 8;

class FrontChart {
  constructor(container, runs, peers, onChoose) {
    Object.assign(this, {
      runs,
      peers,
      onChoose,
      cost: COSTS[0],
      chosen: null,
      hidden: new Set(),
    });
    this.redraw = keepDrawn(container, (node, width) => this.draw(node, width));
  }

  get visible() {
    return this.runs.filter((run) => !this.hidden.has(run));
  }

  draw(container, width) {
    const height = Math.round(Math.min(520, Math.max(320, width * 0.58)));
    this.box = { left: 48, right: width - 14, top: 44, bottom: height - 46 };
    const { left, right, top, bottom } = this.box;
    const { factor, label, logarithmic: onLogScale } = this.cost;
    const all = this.visible.flatMap((run) =>
      Array.from({ length: run.size }, (_, row) => [run, row]),
    );
    const points = all.filter(([run, row]) => run.scored(row));
    if (!points.length) {
      container.append(element("p", { class: "empty" }, "No candidate has a score yet."));
      return;
    }
    let low = Infinity,
      high = -Infinity;
    for (const [run, row] of all) {
      const spent = run.c[this.cost.name][row] / factor;
      low = Math.min(low, spent);
      high = Math.max(high, spent);
    }
    const margin = 0.05 * (high - low) || 0.5;
    this.x = onLogScale
      ? logarithmic([low / 1.12, high * 1.12], [left, right])
      : linear([low - margin, high + margin], [left, right]);
    const psnr = this.psnrDomain(points);
    this.y = linear(psnr, [bottom, top]);
    this.points = points
      .map(([run, row]) => ({
        run,
        row,
        x: this.x(run.c[this.cost.name][row] / factor),
        y: this.y(run.c.psnr[row]),
      }))
      .filter((point) => point.y <= bottom + 1);

    const canvas = element("canvas", { "aria-hidden": "true" });
    const svg = shape("svg", {
      width,
      height,
      viewBox: `0 0 ${width} ${height}`,
      role: "group",
      "aria-label": "Pareto front: the arrow keys move along it, Enter shows a network",
    });
    container.append(canvas, svg);
    axes(svg, this.x, this.y, this.box, {
      xLabel: label,
      yLabel: "PSNR (dB)",
      xTicks: width / 90,
      yTicks: 6,
      yFormat: (value) => value.toFixed(psnr[1] - psnr[0] < 2 ? 1 : 0),
    });
    this.drawPeers(svg);
    this.drawCloud(canvas, width, height, all);
    const below = points.length - this.points.length;
    if (below)
      svg.append(
        shape(
          "text",
          { class: "quiet", x: right, y: bottom - 6, "text-anchor": "end" },
          `${plural(below, "more candidate")} below`,
        ),
      );
    for (const run of this.visible) svg.append(this.steps(run));
    this.marks = shape("g", { class: "marks" });
    svg.append(this.marks, ...this.frontPoints());
    this.listen(svg);
    this.mark();
  }

  // Candidates below Tukey's outer fence are cut off, so that they do not compress the rest; the
  // fronts are always shown.
  psnrDomain(points) {
    const values = points.map(([run, row]) => run.c.psnr[row]).sort((a, b) => a - b);
    const quantile = (share) => values[Math.floor(share * (values.length - 1))];
    const fence = quantile(0.25) - 3 * (quantile(0.75) - quantile(0.25));
    const fronts = this.visible.flatMap((run) => run.front.map((row) => run.c.psnr[row]));
    const low = Math.min(Math.max(values[0], fence), ...fronts),
      high = values[values.length - 1];
    const margin = 0.05 * (high - low) || 0.5;
    return [low - margin, high + margin];
  }

  drawPeers(svg) {
    const { left, right, top } = this.box;
    const { name, factor } = this.cost;
    let end = -Infinity;
    // Published networks have mult-adds and parameters, but no latency on this device.
    const known = this.peers.filter((peer) => name in peer);
    for (const peer of known.sort((a, b) => a[name] - b[name])) {
      const at = this.x(peer[name] / factor);
      if (at < left || at > right) continue;
      const mark = shape(
        "g",
        { class: "peer" },
        shape("path", { d: `M${at} ${top}v-6` }),
        shape("title", {}, `cost of ${peer.name}: ${tidy(peer[name] / factor)}`),
      );
      if (at > end + 2) {
        const anchor = at + 70 > right ? "end" : "start";
        mark.append(
          shape(
            "text",
            { x: at + (anchor === "end" ? 3 : -3), y: top - 10, "text-anchor": anchor },
            peer.name,
          ),
        );
        end = at + 56;
      }
      svg.append(mark);
    }
  }

  drawCloud(canvas, width, height, all) {
    const ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const paint = canvas.getContext("2d");
    paint.scale(ratio, ratio);
    const one = this.runs.length === 1;
    paint.globalAlpha = Math.max(one ? 0.35 : 0.2, 0.85 - this.points.length / 12000);
    const radius = this.points.length > 3000 ? 1.8 : 2.6;
    const colors = new Map();
    for (const point of this.points) {
      const last = point.run.periods[point.run.periods.length - 1].last || 1;
      const step = Math.round((point.run.c.generation[point.row] / last) * (GENERATION_COLORS - 1));
      const late = Math.round((100 * step) / (GENERATION_COLORS - 1));
      const color = one
        ? `color-mix(in oklab, var(--late) ${late}%, var(--early))`
        : point.run.color;
      if (!colors.has(color)) colors.set(color, []);
      colors.get(color).push(point);
    }
    for (const [color, points] of colors) {
      paint.fillStyle = resolved(color);
      paint.beginPath();
      for (const { x, y } of points) {
        paint.moveTo(x + radius, y);
        paint.arc(x, y, radius, 0, 2 * Math.PI);
      }
      paint.fill();
    }
    paint.globalAlpha = 0.8;
    paint.fillStyle = resolved("var(--bad)");
    for (const [run, row] of all) {
      if (!run.scored(row))
        paint.fillRect(
          this.x(run.c[this.cost.name][row] / this.cost.factor) - 0.75,
          this.box.bottom - 7,
          1.5,
          7,
        );
    }
  }

  // The best PSNR up to each cost, as a step line.
  steps(run) {
    const direction = this.cost.maximised ? -1 : 1;
    const front = this.points
      .filter((point) => point.run === run && run.onFront.has(point.row))
      .sort((a, b) => (a.x - b.x) * direction || a.y - b.y);
    let path = "",
      best = Infinity;
    for (const { x, y } of front) {
      if (y >= best) continue;
      path += path ? `H${x}V${y}` : `M${x} ${y}`;
      best = y;
    }
    return shape("path", {
      class: "steps",
      d: path ? `${path}H${this.cost.maximised ? this.box.left : this.box.right}` : "",
      color: run.color,
    });
  }

  frontPoints() {
    return this.visible.map((run) => {
      const points = this.points
        .filter((point) => point.run === run && run.onFront.has(point.row))
        .sort((a, b) => a.x - b.x);
      const circles = points.map((point) =>
        shape("circle", {
          class: "front",
          cx: point.x,
          cy: point.y,
          r: points.length > 120 ? 3.4 : 4.4,
          color: run.color,
          role: "button",
          "data-key": run.c.key[point.row],
          "aria-label": inWords(run, point.row),
          onfocus: (event) => this.describe(point, event.target.getBoundingClientRect()),
          onblur: () => tip.hide(),
          onkeydown: (event) => {
            if (event.key !== "Enter" && event.key !== " ") return;
            event.preventDefault();
            this.onChoose(run, point.row);
          },
        }),
      );
      rove(circles, { previous: "ArrowLeft", next: "ArrowRight" });
      return shape("g", {}, ...circles);
    });
  }

  listen(svg) {
    const nearest = (event) => {
      const edge = svg.getBoundingClientRect(),
        x = event.clientX - edge.left,
        y = event.clientY - edge.top;
      let found = null,
        least = 14 ** 2;
      for (const point of this.points) {
        // Points of the front are preferred to others near them.
        const distance =
          ((point.x - x) ** 2 + (point.y - y) ** 2) * (point.run.onFront.has(point.row) ? 0.35 : 1);
        if (distance < least) {
          found = point;
          least = distance;
        }
      }
      return found;
    };
    svg.addEventListener("pointermove", (event) => {
      const point = nearest(event);
      this.hovered = point;
      svg.style.cursor = point ? "pointer" : "default";
      if (point) this.describe(point, event);
      else tip.hide();
      this.mark();
    });
    svg.addEventListener("pointerleave", () => {
      this.hovered = null;
      tip.hide();
      this.mark();
    });
    svg.addEventListener("click", (event) => {
      const point = nearest(event);
      if (point) this.onChoose(point.run, point.row);
    });
  }

  describe({ run, row }, at) {
    const where = at.clientX === undefined ? { clientX: at.right, clientY: at.bottom } : at;
    tip.show(where, ...describeCandidate(run, row, this.runs.length > 1));
  }

  choose(run, row) {
    this.chosen = { run, row };
    this.mark();
  }

  place(run, row) {
    return {
      x: this.x(run.c[this.cost.name][row] / this.cost.factor),
      y: Math.min(this.y(run.c.psnr[row]), this.box.bottom),
    };
  }

  // Circle the selected candidate and the one under the mouse, and connect the selected one to its
  // parents.
  mark() {
    if (!this.marks) return;
    const found = [];
    const chosen = this.chosen;
    if (chosen && chosen.run.scored(chosen.row) && !this.hidden.has(chosen.run)) {
      const at = this.place(chosen.run, chosen.row);
      for (const parent of chosen.run.parents(chosen.row)) {
        if (!chosen.run.scored(parent)) continue;
        const from = this.place(chosen.run, parent);
        found.push(
          shape("path", { class: "descent", d: `M${from.x} ${from.y}L${at.x} ${at.y}` }),
          shape("circle", { class: "parent", cx: from.x, cy: from.y, r: 4 }),
        );
      }
      found.push(shape("circle", { class: "chosen", cx: at.x, cy: at.y, r: 8 }));
    }
    if (this.hovered)
      found.push(
        shape("circle", { class: "hovered", cx: this.hovered.x, cy: this.hovered.y, r: 6.5 }),
      );
    this.marks.replaceChildren(...found);
  }
}

const inWords = (run, row) =>
  [run.psnrText(row, 2), ...COSTS.map((cost) => `${shownCost(cost, run, row)} ${cost.heading}`)].join(
    ", ",
  );

// The lines of a candidate's tooltip.
function describeCandidate(run, row, withRun) {
  const score = run.scored(row)
    ? run.psnrText(row, 3)
    : `failed: ${run.failure(row)}`;
  const cells = element(
    "ol",
    {},
    ...run.cells(row).map((cell) => element("li", {}, shortName(cell))),
  );
  return [
    element(
      "strong",
      {},
      [score, ...COSTS.map((cost) => shownCost(cost, run, row))].join("  ·  "),
    ),
    (withRun ? `${run.name}, ` : "") +
      `generation ${run.c.generation[row]}, ${madeBy(run.operators(row))}`,
    cells,
    [plural(run.linkCount(row), "link"), ...run.training(row)].join(", "),
  ];
}
