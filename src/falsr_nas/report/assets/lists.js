// Tables and lists: the front, results of the operators, failures, settings.

const frontColumns = () => [
  ["PSNR dB", (run, row) => run.c.psnr[row], (value) => value.toFixed(3)],
  ...COSTS.map(({ name, heading, unit, factor }) => [
    `${heading} ${unit}`,
    (run, row) => run.c[name][row],
    (value) => significant(value / factor),
  ]),
  ["links", (run, row) => run.linkCount(row), String],
  ["generation", (run, row) => run.c.generation[row], String],
];

function frontTable(container, runs, onChoose, sortBy = 1, descending = false) {
  const columns = frontColumns();
  const value = columns[sortBy][1];
  const rows = runs.flatMap((run) => run.front.map((row) => [run, row]));
  rows.sort((a, b) => (value(...a) - value(...b)) * (descending ? -1 : 1));
  const heads = columns.map(([name], i) =>
    element(
      "th",
      {
        scope: "col",
        "aria-sort": i === sortBy ? (descending ? "descending" : "ascending") : null,
      },
      element(
        "button",
        {
          type: "button",
          onclick: () =>
            frontTable(container, runs, onChoose, i, i === sortBy ? !descending : i === 0),
        },
        name,
      ),
    ),
  );
  const buttons = [];
  const body = rows.map(([run, row]) => {
    const button = element(
      "button",
      {
        type: "button",
        class: "key",
        "data-key": run.c.key[row],
        onclick: () => onChoose(run, row),
      },
      element("code", {}, run.c.key[row].slice(0, 8)),
    );
    buttons.push(button);
    return element(
      "tr",
      {
        "data-key": run.c.key[row],
        onclick: (event) => {
          if (event.target !== button && !button.contains(event.target)) onChoose(run, row);
        },
      },
      element("th", { scope: "row" }, runs.length > 1 ? colorPatch(run.color) : null, button),
      ...columns.map(([, read, format]) => element("td", {}, format(read(run, row)))),
      element("td", { class: "text" }, compactNetwork(run, row)),
      element("td", { class: "text" }, madeBy(run.operators(row))),
    );
  });
  rove(buttons, { previous: "ArrowUp", next: "ArrowDown" });
  container.replaceChildren(
    rows.length
      ? element(
          "table",
          { style: `--numbers: ${columns.length}` },
          element(
            "thead",
            {},
            element(
              "tr",
              {},
              element("th", { scope: "col" }, "key"),
              ...heads,
              element("th", { scope: "col", class: "text" }, "cells"),
              element("th", { scope: "col", class: "text" }, "made by"),
            ),
          ),
          element("tbody", {}, ...body),
        )
      : element("p", { class: "empty" }, "No network is on the front yet."),
  );
}

// The notation of the terminal's table (terminal.py): C64k3b4+ for conv_f64_k3_b4_isskip, and equal
// neighbours once with their number. A stem or an upsampler that is not the paper's is added.
function compactNetwork(run, row) {
  const { stem, upsampler } = run.ends(row);
  const parts = [compactCells(run.cells(row))];
  if (stem !== "32") parts.unshift(`S${stem.replace("_", "")}`);
  if (upsampler && !upsampler.startsWith("paper_")) parts.push(upsampler.split("_")[0]);
  return parts.join(" ");
}

function compactCells(cells) {
  const runs = [];
  for (const cell of cells) {
    const [operator, f, k, b, skip] = cell.split("_"),
      factor = /\d+$/.exec(operator)?.[0] ?? "";
    const short = DATA.operators[kindOf(cell)] + (factor && `${factor}-`); // C, G4-
    const name = `${short}${f.slice(1)}${k}${b}${skip === "isskip" ? "+" : ""}`;
    if (runs.length && runs[runs.length - 1][0] === name) runs[runs.length - 1][1] += 1;
    else runs.push([name, 1]);
  }
  return runs.map(([name, count]) => (count === 1 ? name : `${name} ×${count}`)).join(" ");
}

function achievementTable(run) {
  const head = [
    "operators",
    "made",
    "failed",
    "entered the front",
    "became parents",
    "on the front now",
  ];
  const bar = (count, of) => {
    const fill = element("i", { class: "bar" });
    fill.style.width = `${of ? (100 * count) / of : 0}%`;
    return element(
      "td",
      {},
      element(
        "span",
        { class: "with-bar" },
        fill,
        element("b", {}, count.toLocaleString("en")),
        element("span", { class: "quiet" }, of ? percent(count / of) : ""),
      ),
    );
  };
  const rows = run.achievements.map((one) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, madeBy(one.operators)),
      element("td", {}, one.made.toLocaleString("en")),
      element("td", {}, one.failed.toLocaleString("en")),
      bar(one.entered, one.made),
      bar(one.parents, one.made),
      bar(one.front, one.made),
    ),
  );
  return element(
    "table",
    { class: "achievements" },
    element(
      "thead",
      {},
      element("tr", {}, ...head.map((name) => element("th", { scope: "col" }, name))),
    ),
    element("tbody", {}, ...rows),
  );
}

function failureList(run, onChoose) {
  const { kinds, groups, more } = run.failures,
    attempts = Object.values(kinds).reduce((sum, count) => sum + count, 0);
  if (!attempts) return [element("p", {}, `None of ${plural(run.size, "candidate")} failed.`)];
  const without = Object.keys(run.c.failed).length;
  const share = percent(without / run.size);
  const of = `${without.toLocaleString("en")} of ${plural(run.size, "candidate")} (${share})`;
  const listed = Object.entries(kinds).map(
    ([kind, count]) => `${kind.replaceAll("_", " ")} ${count}`,
  );
  const summary =
    `${of} ${without === 1 ? "has" : "have"} no score; ` +
    `${plural(attempts, "attempt")} failed: ${listed.join(", ")}.`;
  const found = [element("p", {}, summary)];
  for (const { kind, message, traceback, rows, places } of groups) {
    const where = Object.entries(places)
      .map(([place, count]) => `${place} (${count})`)
      .join(", ");
    found.push(
      element(
        "details",
        { class: "failure" },
        element(
          "summary",
          {},
          element("span", { class: "badge bad" }, kind.replaceAll("_", " ")),
          rows.length > 1 ? element("b", {}, `${rows.length} × `) : "",
          message || "no message",
        ),
        chips(run, rows.slice(0, MOST_CHIPS), onChoose),
        rows.length > MOST_CHIPS
          ? element("p", { class: "note" }, `and ${rows.length - MOST_CHIPS} more`)
          : null,
        where ? element("p", { class: "note" }, `On ${where}.`) : null,
        traceback
          ? element("pre", {}, traceback)
          : element("p", { class: "note" }, "No traceback."),
      ),
    );
  }
  if (more)
    found.push(
      element("p", { class: "note" }, `and ${plural(more, "more failure")}: all are in search.db`),
    );
  return found;
}

function settingsTable(runs) {
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.settings)))].sort();
  const text = (value) =>
    value === undefined ? "-" : typeof value === "string" ? value : JSON.stringify(value);
  const rows = names.map((name) => {
    const values = runs.map((run) => text(run.settings[name]));
    return element(
      "tr",
      { class: new Set(values).size > 1 ? "differs" : null },
      element("th", { scope: "row" }, element("code", {}, name)),
      ...values.map((value) => element("td", { class: "text" }, value)),
    );
  });
  const head =
    runs.length > 1
      ? element(
          "thead",
          {},
          element(
            "tr",
            {},
            element("th", {}, ""),
            ...runs.map((run) => element("th", { scope: "col", class: "text" }, run.name)),
          ),
        )
      : null;
  return rows.length
    ? element("table", { class: "settings" }, head, element("tbody", {}, ...rows))
    : element("p", { class: "empty" }, "The settings of the search are in its config.yaml.");
}
