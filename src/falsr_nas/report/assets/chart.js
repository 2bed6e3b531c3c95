// Elements, scales and axes.

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function shape(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "color") node.style.setProperty("--color", value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function linear([low, high], [from, to]) {
  const span = high - low || 1;
  const scale = (value) => from + ((value - low) / span) * (to - from);
  scale.invert = (at) => low + ((at - from) / (to - from)) * span;
  scale.ticks = (count) => {
    const rough = span / count,
      power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * span; i++)
      found.push(Number((i * step).toPrecision(12)));
    return found;
  };
  return scale;
}

function logarithmic([low, high], range) {
  const inner = linear([Math.log10(low), Math.log10(high)], range);
  const scale = (value) => inner(Math.log10(value));
  scale.ticks = (count) => {
    const decades = Math.log10(high / low);
    const factors = decades * 3 <= count * 1.6 ? [1, 2, 5] : [1];
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
      for (const factor of factors) {
        const value = Number((factor * 10 ** power).toPrecision(3));
        if (value >= low && value <= high) found.push(value);
      }
    }
    return found;
  };
  return scale;
}

const tidy = (value) => value.toLocaleString("en", { maximumSignificantDigits: 6 });

// Draw grid and labels of a chart, and return the group for its content.
function axes(svg, x, y, box, { xLabel, yLabel, xTicks = 6, yTicks = 5, yFormat = tidy }) {
  const { left, right, top, bottom } = box;
  const grid = shape("g", { class: "axes" });
  for (const value of y.ticks(yTicks)) {
    grid.append(shape("line", { x1: left, x2: right, y1: y(value), y2: y(value) }));
    grid.append(
      shape("text", { x: left - 7, y: y(value) + 3.5, "text-anchor": "end" }, yFormat(value)),
    );
  }
  for (const value of x.ticks(xTicks)) {
    grid.append(shape("line", { x1: x(value), x2: x(value), y1: top, y2: bottom }));
    grid.append(
      shape("text", { x: x(value), y: bottom + 16, "text-anchor": "middle" }, tidy(value)),
    );
  }
  grid.append(
    shape(
      "text",
      { class: "label", x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" },
      xLabel,
    ),
  );
  if (yLabel) grid.append(shape("text", { class: "label", x: 0, y: top - 10 }, yLabel));
  svg.append(grid);
  const plot = shape("g");
  svg.append(plot);
  return plot;
}

const tip = {
  show(event, ...lines) {
    const node = document.getElementById("tip");
    node.replaceChildren(
      ...lines.map((line) => (typeof line === "string" ? element("div", {}, line) : line)),
    );
    node.hidden = false;
    const { width, height } = node.getBoundingClientRect();
    const right = event.clientX + 16 + width < document.documentElement.clientWidth;
    const below = event.clientY + 16 + height < document.documentElement.clientHeight;
    node.style.left = `${Math.max(4, right ? event.clientX + 16 : event.clientX - width - 12)}px`;
    node.style.top = `${Math.max(4, below ? event.clientY + 16 : event.clientY - height - 12)}px`;
  },
  hide() {
    document.getElementById("tip").hidden = true;
  },
};

// A row of buttons, one of which is pressed.
function choice(label, options, chosen, onChoose) {
  const buttons = options.map(([value, text]) =>
    element(
      "button",
      {
        type: "button",
        "aria-pressed": String(value === chosen),
        onclick: () => {
          buttons.forEach((button, i) =>
            button.setAttribute("aria-pressed", String(options[i][0] === value)),
          );
          onChoose(value);
        },
      },
      text,
    ),
  );
  return element("div", { class: "choice", role: "group", "aria-label": label }, ...buttons);
}

// Roving tabindex: the Tab key stops at one of the nodes, and the arrow keys move between them.
function rove(nodes, { previous, next }) {
  nodes.forEach((node, i) => {
    node.setAttribute("tabindex", i === 0 ? "0" : "-1");
    node.addEventListener("keydown", (event) => {
      const to = { [previous]: i - 1, [next]: i + 1, Home: 0, End: nodes.length - 1 }[event.key];
      if (to === undefined || !nodes[to]) return;
      event.preventDefault();
      for (const other of nodes) other.setAttribute("tabindex", "-1");
      nodes[to].setAttribute("tabindex", "0");
      nodes[to].focus();
    });
  });
}

// Draw now, and again when the width of the container or the colours change.
const drawings = [];
function keepDrawn(container, draw) {
  let width = 0;
  const redraw = () => {
    width = container.clientWidth;
    container.replaceChildren();
    draw(container, Math.max(width, 240));
  };
  drawings.push(redraw);
  new ResizeObserver(() => {
    if (container.clientWidth !== width) redraw();
  }).observe(container);
  redraw();
  return redraw;
}

function resolved(color) {
  const probe = element("span");
  probe.style.color = color;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
