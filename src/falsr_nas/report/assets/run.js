"use strict";
// A search, unpacked from the data of page_data.py. Candidates are referred to by their row.

class Run {
  constructor(data, index) {
    Object.assign(this, data);
    this.index = index;
    const c = data.candidates;
    this.c = c;
    this.size = c.key.length;
    this.places = [];
    for (let node = 0; node < this.n; node++) {
      for (let target = node + 2; target <= this.n + 1; target++) this.places.push([node, target]);
    }
    this.onFront = new Set(data.front);
    this.rowOf = new Map(c.key.map((key, row) => [key, row]));
    this.children = new Map();
    c.parents.forEach((parents, row) => {
      for (const parent of new Set(parents)) {
        if (!this.children.has(parent)) this.children.set(parent, []);
        this.children.get(parent).push(row);
      }
    });
  }

  get color() {
    return `var(--run-${this.index % 6})`;
  }

  scored(row) {
    return this.c.psnr[row] !== null;
  }

  // The PSNR in dB.
  psnrText(row, digits) {
    return `${this.c.psnr[row].toFixed(digits)} dB`;
  }

  // The length of the training of a candidate.
  training(row) {
    const steps = this.c.steps[row];
    return steps ? [plural(steps, "step")] : [];
  }

  // The kind of failure of a candidate without a score.
  failure(row) {
    return (this.c.failed[row] ?? "").replaceAll("_", " ");
  }

  mse(row) {
    return 65025 / 10 ** (this.c.psnr[row] / 10);
  }

  cells(row) {
    const names = [];
    for (let i = 0; i < this.n; i++) names.push(this.c.table[this.c.cells[row * this.n + i]]);
    return names.filter((name) => !name.startsWith("empty_")); // which are left out
  }

  // Stem and upsampler.
  ends(row) {
    return this.c.ends_table[this.c.ends[row]];
  }

  hasLink(row, place) {
    return ((parseInt(this.c.links[row][place >> 2], 16) >> (3 - (place & 3))) & 1) === 1;
  }

  linkCount(row) {
    return this.places.reduce((count, _, place) => count + this.hasLink(row, place), 0);
  }

  // The text of the genome, as in pareto.csv.
  text(row) {
    const sources = new Map();
    this.places.forEach(([node, target], place) => {
      if (this.hasLink(row, place)) sources.set(target, [...(sources.get(target) || []), node]);
    });
    const links = [...sources]
      .sort((a, b) => a[0] - b[0])
      .map(([target, nodes]) => `${nodes.join(",")}->${target}`);
    const { stem, upsampler } = this.ends(row);
    const blocks = [`stem_f${stem}`, ...this.cells(row), upsampler].filter(Boolean);
    return `${blocks.join(" ")} | ${links.join(" ")}`.trim();
  }

  operators(row) {
    return this.c.combinations[this.c.made_by[row]];
  }

  // The parents that are among the candidates.
  parents(row) {
    return [...new Set(this.c.parents[row])].filter((parent) => typeof parent === "number");
  }

  ancestors(row) {
    const found = new Set();
    const open = [row];
    while (open.length) {
      for (const parent of this.parents(open.pop())) {
        if (!found.has(parent)) {
          found.add(parent);
          open.push(parent);
        }
      }
    }
    return found;
  }

  // The candidate, its first parent, that one's first parent, and so on to the initial population.
  line(row) {
    const rows = [row];
    for (
      let next = this.parents(row)[0];
      next !== undefined && rows.length <= this.size;
      next = this.parents(next)[0]
    )
      rows.push(next);
    return rows;
  }
}

const shortName = (cell) => cell.replaceAll("_", " ");
const kindOf = (cell) => cell.split("_")[0].replace(/[A-Z]\d+$/, ""); // e.g. groupCon
const madeBy = (operators) => operators.map((name) => name.replaceAll("_", " ")).join(" + ");
const shownCost = ({ name, factor, unit }, run, row) =>
  `${significant(run.c[name][row] / factor)} ${unit}`.trim();
const significant = (value) =>
  value >= 1000 ? Math.round(value).toLocaleString("en") : value.toPrecision(4);
const percent = (share) =>
  share > 0 && share < 0.0995 ? `${(100 * share).toFixed(1)}%` : `${Math.round(100 * share)}%`;
const plural = (count, one, many = `${one}s`) =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
