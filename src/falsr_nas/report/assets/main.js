// Builds the page from its parts.

const DATA = JSON.parse(document.getElementById("data").textContent);
const RUNS = DATA.runs.map((run, index) => new Run(run, index));
const COSTS = DATA.costs; // all that is shown beside PSNR, the first one orders fronts
const MANY = RUNS.length > 1;
const state = { run: RUNS[0], of: "made", axis: "evaluations" };
const at = (selector) => document.querySelector(selector);

function header() {
  at("h1").textContent = RUNS.map((run) => run.name).join(" and ");
  const total = RUNS.reduce((sum, run) => sum + run.size, 0);
  at(".lead").textContent =
    plural(total, "candidate") +
    (MANY ? ` of ${RUNS.length} searches` : "") +
    ` for ${DATA.subject}` +
    (MANY ? "" : settingsInShort(RUNS[0]));
  at("#tiles").replaceChildren(...(MANY ? runTable() : tiles(RUNS[0])));
}

function settingsInShort(run) {
  const limits = [];
  if (run.settings["constraints.max_mult_adds"])
    limits.push(`at most ${run.settings["constraints.max_mult_adds"]} G mult-adds`);
  limits.push(...run.limits);
  if (run.min_psnr !== null) limits.push(`at least ${run.min_psnr} dB`);
  return limits.length ? `; ${limits.join(", ")}` : "";
}

function facts(run) {
  const last = run.periods[run.periods.length - 1];
  return [
    ["candidates", run.size.toLocaleString("en")],
    ["generations", last ? (last.last + 1).toLocaleString("en") : "0"],
    ["on the front", String(run.front.length)],
    ["best PSNR", last && last.best_psnr !== null ? `${last.best_psnr.toFixed(2)} dB` : "-"],
    ["hypervolume", last ? last.hypervolume.toFixed(4) : "-"],
    ["without a score", Object.keys(run.c.failed).length.toLocaleString("en")],
  ];
}

const tiles = (run) =>
  facts(run).map(([name, value]) =>
    element("div", { class: "tile" }, element("b", {}, value), element("span", {}, name)),
  );

function runTable() {
  const rows = RUNS.map((run) =>
    element(
      "tr",
      {},
      element(
        "th",
        { scope: "row" },
        element(
          "label",
          {},
          element("input", {
            type: "checkbox",
            checked: true,
            onchange: (event) => {
              if (event.target.checked) front.hidden.delete(run);
              else front.hidden.add(run);
              front.redraw();
            },
          }),
          colorPatch(run.color),
          run.name,
        ),
      ),
      ...facts(run).map(([, value]) => element("td", {}, value)),
    ),
  );
  const head = element(
    "tr",
    {},
    element("th", {}, "search"),
    ...facts(RUNS[0]).map(([name]) => element("th", { scope: "col" }, name)),
  );
  return [
    element("table", { class: "runs" }, element("thead", {}, head), element("tbody", {}, ...rows)),
  ];
}

const address = (run, row) => `#${MANY ? `${run.index}-` : ""}${run.c.key[row]}`;

function choose(run, row, fromUser = true) {
  showCandidate(at("#candidate"), run, row, MANY, choose);
  front.choose(run, row);
  for (const node of document.querySelectorAll(".is-chosen")) node.classList.remove("is-chosen");
  at(`#front-table tr[data-key="${run.c.key[row]}"]`)?.classList.add("is-chosen");
  if (!fromUser) return;
  history.replaceState(null, "", address(run, row));
  const panel = at("#candidate"),
    edge = panel.getBoundingClientRect();
  if (matchMedia("(min-width: 1080px)").matches) panel.scrollTop = 0;
  else if (edge.top > innerHeight * 0.6 || edge.top < 0)
    panel.scrollIntoView({ behavior: "smooth", block: "start" });
}

// The network named in the address: its key or the beginning of one, after the number of its search
// where several searches have it.
function named() {
  const [, index, key] = /^#(?:(\d+)-)?([0-9a-f]{4,16})$/.exec(location.hash) ?? [];
  if (!key) return null;
  for (const run of index === undefined ? RUNS : RUNS.slice(index, Number(index) + 1)) {
    const row = run.c.key.findIndex((one) => one.startsWith(key));
    if (row >= 0) return [run, row];
  }
  return null;
}

// Select the network named in the address and scroll to it.
function follow() {
  const found = named();
  if (!found) return false;
  choose(...found, false);
  const isWide = matchMedia("(min-width: 1080px)").matches;
  const place = isWide ? at("#front-table .is-chosen") : at("#candidate");
  place?.scrollIntoView({ block: isWide ? "nearest" : "start" });
  return true;
}

// Select the network named in the address, or the middle of the front.
function chooseFirst() {
  if (follow()) return;
  const first = RUNS.find((one) => one.front.length) ?? RUNS.find((one) => one.size);
  if (first) choose(first, first.front[first.front.length >> 1] ?? 0, false);
}

function note(section, text) {
  at(`#${section} .note`).textContent = text;
}

function runChoice() {
  return MANY
    ? [
        choice(
          "Search",
          RUNS.map((run) => [run, run.name]),
          state.run,
          (run) => {
            state.run = run;
            drawRun();
          },
        ),
      ]
    : [];
}

function growth() {
  at("#growth .controls").replaceChildren(
    choice(
      "Horizontal axis",
      [
        ["evaluations", "evaluations"],
        ["generations", "generations"],
      ],
      state.axis,
      (axis) => {
        state.axis = axis;
        redraws.forEach((redraw) => redraw());
      },
    ),
  );
  const [psnr, ...costs] = RUNS[0].scale;
  const corner = (end) =>
    listed([psnr, ...costs].map((one) => `${significantOrWhole(one[end])} ${one.unit} ${one.name}`));
  note(
    "growth",
    "Hypervolume: the share of a fixed box that the front dominates. The box extends " +
      `from ${corner("worst")} to ${corner("best")}, with costs on a log scale.` +
      (comparable(RUNS)
        ? ""
        : " These searches have different spaces: their hypervolumes cannot be compared."),
  );
  const redraws = MEASURES.map((measure) => {
    const container = element("div", { class: "chart" });
    at("#growth .charts").append(container);
    return keepDrawn(container, (node, width) =>
      lineChart(
        node,
        width,
        RUNS.filter((run) => run.size),
        measure,
        state.axis,
      ),
    );
  });
}

const significantOrWhole = (value) => (Number.isInteger(value) ? String(value) : significant(value));
const listed = (words) =>
  words.length > 1 ? `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}` : words[0];

const runDrawings = [];

function drawRun() {
  const { run } = state;
  runDrawings.forEach((redraw) => redraw());
  at("#operators .scroll").replaceChildren(achievementTable(run));
  at("#failures .list").replaceChildren(...failureList(run, choose));
}

function composition() {
  at("#traits .controls").replaceChildren(
    ...runChoice(),
    choice(
      "Networks",
      [
        ["made", "new"],
        ["front", "on the front"],
      ],
      state.of,
      (of) => {
        state.of = of;
        runDrawings.forEach((redraw) => redraw());
      },
    ),
  );
  note(
    "traits",
    "Shares of operators, channels, kernels, repeats and residuals among the cells of the " +
      "networks that are new in each generation, or on the front at its end; " +
      "where the search has several, also of stems and upsamplers. " +
      "Percentages are those of the last generation.",
  );
  note(
    "links",
    "The share of the networks that have each link, from the first generation " +
      "(left edge of a square) to the last (right edge; the number is its share). " +
      "Every block also reads the block before it, which is not shown.",
  );
  note(
    "operators",
    "Entered the front: no earlier candidate was as good in all objectives. " +
      "Became parents: survived the controller's selection and had children.",
  );
  for (const trait of new Set(RUNS.flatMap((run) => Object.keys(run.traits)))) {
    const container = element("div", { class: "chart" });
    at("#traits .charts").append(container);
    runDrawings.push(
      keepDrawn(container, (node, width) => {
        if (state.run.size && state.run.traits[trait]) shareChart(node, width, state.run, trait, state.of);
      }),
    );
  }
  runDrawings.push(
    keepDrawn(at("#links .chart"), (node, width) => {
      const linked = state.run.links.made.some((counts) => counts.some(Boolean));
      at("#links").hidden = state.run.size > 0 && !linked;
      if (linked) linkMatrix(node, width, state.run, state.of);
    }),
  );
}

function frontSection() {
  at("#front .controls").append(
    choice(
      "Cost",
      COSTS.map((cost) => [cost, cost.heading]),
      COSTS[0],
      (cost) => {
        front.cost = cost;
        front.redraw();
      },
    ),
  );
  const colors = MANY
    ? "Each search has its colour."
    : "Colours: from the first generation (pale) to the last (dark).";
  note(
    "front",
    `All candidates, and the Pareto front of ${listed(RUNS[0].objectives)}. ${colors} ` +
      "Hover over a network to see its cells, and click it to see its architecture. " +
      "Tab and the arrow keys move along the front.",
  );
}

function theme() {
  const button = at("#theme"),
    dark = matchMedia("(prefers-color-scheme: dark)");
  let now = dark.matches;
  const show = () => {
    button.textContent = now ? "Light" : "Dark";
    drawings.forEach((redraw) => redraw());
  };
  button.addEventListener("click", () => {
    now = !now;
    document.documentElement.style.colorScheme = now ? "dark" : "light";
    show();
  });
  dark.addEventListener("change", () => {
    now = dark.matches;
    show();
  });
  button.textContent = now ? "Light" : "Dark";
}

header();
frontSection();
const front = new FrontChart(at("#front .chart"), RUNS, DATA.peers, choose);
frontTable(at("#front-table"), RUNS, choose);
growth();
composition();
drawRun();
at("#settings .scroll").append(settingsTable(RUNS));
theme();
chooseFirst();
addEventListener("hashchange", follow);
