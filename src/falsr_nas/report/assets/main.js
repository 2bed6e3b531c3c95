// The page, put together.

const DATA = JSON.parse(document.getElementById("data").textContent);
const RUNS = DATA.runs.map((run, index) => new Run(run, index));
const MANY = RUNS.length > 1;
const state = { run: RUNS[0], of: "made", axis: "evaluations" };
const at = (selector) => document.querySelector(selector);

function header() {
  at("h1").textContent = RUNS.map((run) => run.name).join(" and ");
  const total = RUNS.reduce((sum, run) => sum + run.size, 0),
    space = [...new Set(RUNS.map((run) => `${run.n} cells`))].join(", ");
  at(".lead").textContent =
    `${plural(total, "candidate")}${MANY ? ` of ${RUNS.length} searches` : ""} for ×2 super-resolution, ${space}` +
    (MANY ? "" : settingsInShort(RUNS[0]));
  at("#tiles").replaceChildren(...(MANY ? runTable() : tiles(RUNS[0])));
}

function settingsInShort(run) {
  const limits = [];
  if (run.settings["constraints.max_mult_adds"]) limits.push(`at most ${run.settings["constraints.max_mult_adds"]} G mult-adds`);
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
  facts(run).map(([name, value]) => element("div", { class: "tile" }, element("b", {}, value), element("span", {}, name)));

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
  const head = element("tr", {}, element("th", {}, "search"), ...facts(RUNS[0]).map(([name]) => element("th", { scope: "col" }, name)));
  return [element("table", { class: "runs" }, element("thead", {}, head), element("tbody", {}, ...rows))];
}

function choose(run, row, fromUser = true) {
  showCandidate(at("#candidate"), run, row, MANY, choose);
  front.choose(run, row);
  for (const node of document.querySelectorAll(".is-chosen")) node.classList.remove("is-chosen");
  at(`#front-table tr[data-key="${run.c.key[row]}"]`)?.classList.add("is-chosen");
  if (!fromUser) return;
  history.replaceState(null, "", `#${MANY ? `${run.index}-` : ""}${run.c.key[row]}`);
  const panel = at("#candidate"),
    edge = panel.getBoundingClientRect();
  if (matchMedia("(min-width: 1080px)").matches) panel.scrollTop = 0;
  else if (edge.top > innerHeight * 0.6 || edge.top < 0) panel.scrollIntoView({ behavior: "smooth", block: "start" });
}

// A link to the page may name a network; else the middle of the front is shown.
function chooseFirst() {
  const [, index, key] = /^#(?:(\d+)-)?([0-9a-f]{16})$/.exec(location.hash) ?? [];
  const run = RUNS[Number(index ?? 0)],
    row = run?.rowOf.get(key);
  if (row !== undefined) return choose(run, row, false);
  const first = RUNS.find((one) => one.front.length) ?? RUNS.find((one) => one.size);
  if (first) choose(first, first.front[first.front.length >> 1] ?? 0, false);
  return undefined;
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
      "Along",
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
  const { psnr, heaviest } = RUNS[0].scale;
  note(
    "growth",
    `Hypervolume: the share of a fixed cube that the front dominates, from ${psnr[0]} dB at ${giga(heaviest.mult_adds)} G ` +
      `and ${kilo(heaviest.params)} K to ${psnr[1]} dB at the lightest network; costs on a log scale.` +
      (comparable(RUNS) ? "" : " These searches have different spaces: their hypervolumes do not compare."),
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
        ["made", "made then"],
        ["front", "on the front then"],
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
    "Shares of the cells' operators, channels, kernels, repeats and in-cell residuals, generation by generation; " +
      "beside each name its share at the end.",
  );
  note(
    "links",
    "The share of the networks that have each link, from the first generation (left of each square) to the last (right, " +
      "and in figures). A block always reads the one before it; those links are not shown.",
  );
  note(
    "operators",
    "Entered the front: no earlier candidate was as good in PSNR, mult-adds and parameters. " +
      "Became parents: survived the controller's selection and had children.",
  );
  for (const trait of Object.keys(RUNS[0].traits)) {
    const container = element("div", { class: "chart" });
    at("#traits .charts").append(container);
    runDrawings.push(
      keepDrawn(container, (node, width) => {
        if (state.run.size) shareChart(node, width, state.run, trait, state.of);
      }),
    );
  }
  runDrawings.push(
    keepDrawn(at("#links .chart"), (node, width) => {
      if (state.run.size) linkMatrix(node, width, state.run, state.of);
    }),
  );
}

function frontSection() {
  at("#front .controls").append(
    choice(
      "Cost",
      [
        ["mult_adds", "mult-adds"],
        ["params", "parameters"],
      ],
      "mult_adds",
      (cost) => {
        front.cost = cost;
        front.redraw();
      },
    ),
  );
  const colors = MANY ? "Colours: searches." : "Colours: from the first generation (pale) to the last.";
  note(
    "front",
    `Every candidate, and what no other one beats in PSNR, mult-adds and parameters together. ${colors} ` +
      "Point at a network to see its cells, click for its drawing; Tab and the arrow keys go along the front.",
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
