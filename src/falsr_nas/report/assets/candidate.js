// The panel of the selected network: drawing, scores and lineage.

const MOST_CHIPS = 12;

function showCandidate(container, run, row, withRun, onChoose) {
  const { c } = run;
  container.dataset.key = c.key[row];
  container.replaceChildren(
    element(
      "div",
      { class: "heading" },
      element(
        "h2",
        {},
        "Network ",
        element("a", { href: address(run, row) }, element("code", {}, c.key[row])),
      ),
    ),
    badges(run, row, withRun),
    scores(run, row),
    element("div", { class: "drawing" }, draw(run, row)),
    element("p", { class: "note" }, explanation(run, row)),
    genomeText(run.text(row)),
    ...lineage(run, row, onChoose),
  );
}

function badges(run, row, withRun) {
  const texts = [
    withRun ? run.name : null,
    `generation ${run.c.generation[row]}`,
    madeBy(run.operators(row)),
  ];
  const badge = (text, kind) => element("span", { class: `badge ${kind}` }, text);
  return element(
    "p",
    { class: "badges" },
    run.onFront.has(row) ? badge("on the front", "good") : null,
    run.scored(row) ? null : badge(run.failure(row), "bad"),
    ...texts.filter(Boolean).map((text) => badge(text, "")),
  );
}

function scores(run, row) {
  const { c } = run;
  const facts = [
    ...COSTS.map((cost) => [cost.heading, shownCost(cost, run, row)]),
    ["links", String(run.linkCount(row))],
  ];
  if (run.scored(row))
    facts.unshift(["PSNR", run.psnrText(row, 3)], ["MSE", significant(run.mse(row))]);
  if (c.steps[row]) facts.push(["training steps", c.steps[row].toLocaleString("en")]);
  if (c.seconds[row]) facts.push(["evaluation time", `${significant(c.seconds[row])} s`]);
  if (c.log_prob[row] !== undefined) facts.push(["log probability", c.log_prob[row].toFixed(2)]);
  return element(
    "dl",
    { class: "facts" },
    ...facts.map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value)),
    ),
  );
}

// Fill in the blank drawing (architecture.py). Cells and links that no parent has are marked; links
// that all parents have and this network lacks are dotted.
function draw(run, row) {
  const n = run.cells(row).length;
  const svg = document.getElementById(`drawing-${n}`).content.firstElementChild.cloneNode(true);
  const parents = run.parents(row),
    text = run.text(row);
  svg.setAttribute("aria-label", text);
  svg.prepend(shape("title", {}, text));
  const ends = run.ends(row);
  ends.labels.forEach((label, last) => {
    const block = svg.querySelector(`[data-node="${last ? n + 1 : 0}"]`);
    block.querySelector(".name").textContent = label;
    block.classList.toggle(
      "new",
      parents.length > 0 && parents.every((parent) => run.ends(parent).labels[last] !== label),
    );
  });
  if (!ends.skip) svg.querySelector(".global-skip").remove();
  run.cells(row).forEach((cell, i) => {
    const block = svg.querySelector(`[data-node="${i + 1}"]`);
    block.classList.add(`operator-${kindOf(cell)}`);
    block.querySelector(".name").textContent = shortName(cell);
    const residual = /_b([2-9]|\d\d+)_isskip$/.test(cell); // it has no effect with one repeat
    if (!residual) block.querySelector(".residual").remove();
    block.classList.toggle(
      "new",
      parents.length > 0 && parents.every((parent) => run.cells(parent)[i] !== cell),
    );
  });
  run.places.forEach(([node, target], place) => {
    const link = svg.querySelector(`[data-link="${node}-${target}"]`),
      had = parents.filter((parent) => run.hasLink(parent, place)).length;
    if (!link) return; // to a cell that this network has not
    if (run.hasLink(row, place)) link.classList.toggle("new", parents.length > 0 && had === 0);
    else if (parents.length > 0 && had === parents.length) link.classList.add("gone");
    else link.remove();
  });
  return svg;
}

function explanation(run, row) {
  const base =
    "Block: operator, channels (f), kernel size (k), repeats (b). " +
    "Arc: an additional input, concatenated." +
    (run.ends(row).skip ? " Dashed line: the output of node 0, added at the end." : "");
  if (!run.parents(row).length) return base;
  const differences = "Bold: not in any parent. Dotted: a link of all parents that it lacks.";
  return `${base} ${differences}`;
}

function genomeText(text) {
  const copy = element(
    "button",
    {
      type: "button",
      onclick: async () => {
        try {
          await navigator.clipboard.writeText(text);
          copy.textContent = "Copied";
        } catch {
          getSelection().selectAllChildren(code); // no access to the clipboard: for Ctrl-C
          copy.textContent = "Selected";
        }
      },
    },
    "Copy",
  );
  const code = element("code", {}, text);
  return element("div", { class: "genome" }, code, copy);
}

function lineage(run, row, onChoose) {
  const parents = run.c.parents[row],
    children = run.children.get(row) ?? [],
    line = run.line(row);
  const found = [element("h3", {}, "Lineage")];
  if (!parents.length) {
    found.push(element("p", {}, `It has no parents (${madeBy(run.operators(row))}).`));
  } else {
    found.push(
      element("p", {}, `Made by ${madeBy(run.operators(row))} from:`),
      chips(run, parents, onChoose),
    );
  }
  const ancestors = run.ancestors(row);
  if (ancestors.size) {
    const founders = [...ancestors].filter((one) => run.c.parents[one].length === 0).length;
    found.push(
      element(
        "p",
        {},
        `${plural(ancestors.size, "ancestor")}, ${founders} of them without parents. ` +
          "Lines connect parents and children; " +
          "click a point to show the network.",
      ),
    );
    const chart = element("div", { class: "chart" });
    found.push(chart);
    requestAnimationFrame(() => drawLineage(chart, run, row, ancestors, onChoose));
  }
  if (line.length > 2) {
    const steps = line.map((one) =>
      element(
        "li",
        {},
        chip(run, one, onChoose),
        ` generation ${run.c.generation[one]}, ${madeBy(run.operators(one))}`,
      ),
    );
    found.push(
      element(
        "details",
        {},
        element("summary", {}, `Line of first parents, ${plural(line.length - 1, "step")}`),
        element("ol", { class: "line" }, ...steps),
      ),
    );
  }
  found.push(element("h3", {}, "Children"));
  if (!children.length) found.push(element("p", {}, "No children."));
  else {
    const stood = children.filter((child) => run.onFront.has(child));
    const shown = [...stood, ...children.filter((child) => !run.onFront.has(child))].slice(
      0,
      MOST_CHIPS,
    );
    const some = shown.length < children.length ? `; ${shown.length} of them` : "";
    found.push(
      element(
        "p",
        {},
        `${plural(children.length, "child", "children")}, ${stood.length} on the front${some}:`,
      ),
      chips(run, shown, onChoose),
    );
  }
  return found;
}

function chips(run, rows, onChoose) {
  return element(
    "p",
    { class: "chips" },
    ...[...new Set(rows)].map((row) => chip(run, row, onChoose)),
  );
}

// A button that selects a candidate; only the key of a candidate that is not in the search.
function chip(run, row, onChoose) {
  if (typeof row !== "number") return element("span", { class: "chip" }, element("code", {}, row));
  const score = run.scored(row) ? `${run.c.psnr[row].toFixed(2)} dB` : "failed";
  const title = `generation ${run.c.generation[row]}: ${run.cells(row).map(shortName).join(", ")}`;
  return element(
    "button",
    {
      type: "button",
      class: `chip ${run.onFront.has(row) ? "good" : ""}`,
      title,
      onclick: () => onChoose(run, row),
    },
    element("code", {}, run.c.key[row].slice(0, 8)),
    ` ${score}, ${shownCost(COSTS[0], run, row)}`,
  );
}

function drawLineage(container, run, row, ancestors, onChoose) {
  const width = container.clientWidth,
    height = 190;
  const all = [...ancestors, row].filter((one) => run.scored(one));
  const quality = all.map((one) => run.c.psnr[one]).sort((a, b) => a - b);
  const low = quality[0],
    high = quality[quality.length - 1],
    margin = 0.08 * (high - low) || 0.5;
  const box = { left: 40, right: width - 12, top: 24, bottom: height - 42 };
  const x = linear([0, Math.max(1, run.c.generation[row])], [box.left + 4, box.right - 4]);
  const y = linear([low - margin, high + margin], [box.bottom, box.top]);
  const svg = shape("svg", {
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": "PSNR of the ancestors by generation",
  });
  const plot = axes(svg, x, y, box, {
    xLabel: "generation",
    yLabel: "PSNR (dB)",
    xTicks: 5,
    yTicks: 4,
  });
  const place = (one) => `${x(run.c.generation[one]).toFixed(1)} ${y(run.c.psnr[one]).toFixed(1)}`;
  let descents = "";
  for (const one of all) {
    for (const parent of run.parents(one)) {
      if (run.scored(parent)) descents += `M${place(parent)}L${place(one)}`;
    }
  }
  plot.append(
    shape("path", {
      class: "descents",
      d: descents,
      "stroke-opacity": String(Math.max(0.28, 0.8 - all.length / 400)),
    }),
  );
  const line = run.line(row).filter((one) => run.scored(one));
  plot.append(
    shape("path", {
      class: "first-parents",
      d: `M${line.map(place).join("L")}`,
    }),
  );
  for (const one of all) {
    plot.append(
      shape("circle", {
        class: ["ancestor", one === row && "self", !run.c.parents[one].length && "founder"]
          .filter(Boolean)
          .join(" "),
        cx: x(run.c.generation[one]).toFixed(1),
        cy: y(run.c.psnr[one]).toFixed(1),
        r: one === row ? 5 : 3,
        onpointerenter: (event) => tip.show(event, ...describeCandidate(run, one, false)),
        onpointerleave: () => tip.hide(),
        onclick: () => {
          tip.hide();
          onChoose(run, one);
        },
      }),
    );
  }
  container.append(svg);
}
