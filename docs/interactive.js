// Two plots of concepts.md with controls. Every number is computed by the objective crate (drawings/computed.js, written by
// `./just paper book`); this file only chooses among them and draws.
(() => {
  "use strict";
  const [WIDTH, HEIGHT, LEFT, BOTTOM] = [640, 220, 44, 36];
  const SVG = "http://www.w3.org/2000/svg";

  const element = (name, attributes, parent, text) => {
    const made = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };

  // A plot with axes from 0 to the given ends; returns the layer to draw on and the two scales.
  const plot = (parent, label, xEnd, yEnd, xName, yName) => {
    const svg = element("svg:svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, class: "computed" }, parent);
    const x = (value) => LEFT + (value / xEnd) * (WIDTH - LEFT - 8);
    const y = (value) => HEIGHT - BOTTOM - (value / yEnd) * (HEIGHT - BOTTOM - 8);
    element("svg:path", { d: `M${x(0)} 8V${y(0)}H${x(xEnd)}`, class: "axis" }, svg);
    for (const part of [0, 0.5, 1]) {
      element("svg:text", { x: x(part * xEnd), y: y(0) + 15, "text-anchor": "middle" }, svg, part * xEnd);
      element("svg:text", { x: LEFT - 6, y: y(part * yEnd) + 4, "text-anchor": "end" }, svg, part * yEnd);
    }
    element("svg:text", { x: x(xEnd / 2), y: HEIGHT - 4, "text-anchor": "middle" }, svg, xName);
    element("svg:text", { x: x(0) + 6, y: 16 }, svg, yName);
    return { layer: element("svg:g", {}, svg), x, y };
  };

  // A slider with its name and its value in words.
  const slider = (parent, name, last, start, words, change) => {
    const label = element("label", { class: "computed" }, parent, `${name} `);
    const input = element("input", { type: "range", min: 0, max: last, value: start }, label);
    const output = element("output", {}, label);
    const update = () => {
      output.textContent = words(Number(input.value));
      change();
    };
    input.addEventListener("input", update);
    return { value: () => Number(input.value), update };
  };

  const pulls = (parent) => {
    const { alphas, p, pull } = COMPUTED.pulls;
    const { layer, x, y } = plot(parent, "Pull against the probability of the label", 1, 1, "probability of the label, p", "pull a");
    const draw = () => {
      const points = pull[alpha.value()].map((a, index) => `${x(p[index])},${y(a)}`).join(" ");
      layer.replaceChildren();
      element("svg:polyline", { points, class: "line" }, layer);
    };
    const alpha = slider(parent, "α", alphas.length - 1, alphas.indexOf(1), (at) => alphas[at].toFixed(1), draw);
    alpha.update();
  };

  const bands = (parent) => {
    const { loss, steps, selected } = COMPUTED.bands;
    const { layer, x, y } = plot(parent, "Loss of forty tokens, the selected ones filled", loss.length, 5, "token", "loss (nats)");
    const draw = () => {
      const [from, to] = [low.value(), high.value()].sort((a, b) => a - b);
      const chosen = selected[`${of.value}/${from}/${to}`] ?? [];
      layer.replaceChildren();
      for (const [index, value] of loss.entries()) {
        const kind = chosen.includes(index) ? "point chosen" : "point";
        element("svg:circle", { cx: x(index + 0.5), cy: y(Math.min(value, 5)), r: 4, class: kind }, layer);
      }
    };
    const label = element("label", { class: "computed" }, parent, "rank ");
    const of = element("select", {}, label);
    for (const unit of ["tokens", "documents"]) element("option", { value: unit }, of, unit);
    of.addEventListener("change", draw);
    const percent = (at) => `${(at * 100) / steps}%`;
    let high = null;
    const low = slider(parent, "from rank", steps, (steps * 3) / 4, percent, () => high && draw());
    high = slider(parent, "to rank", steps, steps, percent, draw);
    low.update();
    high.update();
  };

  for (const [id, make] of Object.entries({ "plot-pulls": pulls, "plot-bands": bands })) {
    const parent = document.getElementById(id);
    if (parent) make(parent);
  }
})();
