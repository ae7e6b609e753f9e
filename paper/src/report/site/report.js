// Sorting, filtering, light and dark, keyboard shortcuts: everything interactive on the pages but the token viewer.
"use strict";

const root = document.documentElement;
const store = {
  // Some browsers refuse storage to pages opened from disk; the choice then lasts for the page.
  get: () => { try { return localStorage.getItem("tokensieve-theme"); } catch { return null; } },
  set: (theme) => { try { localStorage.setItem("tokensieve-theme", theme); } catch { /* see above */ } },
};

function setTheme(theme) {
  if (theme) root.dataset.theme = theme;
}

function toggleTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const next = (root.dataset.theme || system) === "dark" ? "light" : "dark";
  setTheme(next);
  store.set(next);
}

setTheme(store.get());

// What a cell's text is as a number: a real minus sign counts as one, and 2×10⁻⁵ is 2e-5.
function numeric(text) {
  const digits = text.replace(/[⁰¹²³⁴⁵⁶⁷⁸⁹]/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹".indexOf(digit)).replace("⁻", "-");
  return Number(digits.replace("−", "-").replace("×10", "e").trim() || NaN);
}

// Numbers before text, whichever way they are sorted.
function compare(a, b, down) {
  const [x, y] = [a, b].map(numeric);
  const sign = down ? -1 : 1;
  if (!Number.isNaN(x) && !Number.isNaN(y)) return sign * (x - y);
  if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
  return sign * a.localeCompare(b);
}

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if ("fixed" in head.dataset) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      const text = new Map(rows.map((row) => [row, row.cells[column].dataset.value ?? row.cells[column].textContent]));
      rows.sort((a, b) => compare(text.get(a), text.get(b), down));
      table.tBodies[0].append(...rows);
    });
  });
}

function makeFilter(input) {
  const rows = [...document.getElementById(input.dataset.filter).tBodies[0].rows];
  const output = input.closest(".filter").querySelector("output");
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      if (!row.hidden) shown += 1;
    }
    output.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
  });
}

// Claims by paper, evidence and verdict: what is chosen is unfolded, and figures of which nothing is left are hidden.
function makeChoice(box) {
  const choices = [...box.querySelectorAll("[data-choice]")];
  const figures = [...document.querySelectorAll("details.of-figure")];
  const output = box.querySelector("output");
  const update = () => {
    const wanted = choices.filter((choice) => choice.value);
    let shown = 0;
    for (const figure of figures) {
      const rows = [...figure.querySelectorAll("tbody tr")];
      for (const row of rows) row.hidden = wanted.some((choice) => row.dataset[choice.dataset.choice] !== choice.value);
      const left = rows.filter((row) => !row.hidden).length;
      shown += left;
      figure.hidden = left === 0;
      if (wanted.length) figure.open = left > 0;
    }
    output.textContent = `${shown} tests`;
  };
  choices.forEach((choice) => choice.addEventListener("change", update));
  update();
}

function go(rel) {
  const link = document.querySelector(`link[rel="${rel}"]`);
  if (link) location.href = link.href;
}

const dialog = document.querySelector("dialog");
const actions = {
  theme: toggleTheme,
  help: () => (dialog.open ? dialog.close() : dialog.showModal()),
  unfold: () => {
    const all = [...document.querySelectorAll("details.of-figure")];
    const open = all.some((figure) => !figure.open);
    all.forEach((figure) => { figure.open = open; });
  },
};
const keys = {
  ArrowLeft: () => go("prev"),
  ArrowRight: () => go("next"),
  i: () => { location.href = "index.html"; },
  t: actions.theme,
  "?": actions.help,
  "/": () => document.querySelector("[data-filter]")?.focus(),
};

document.querySelectorAll("[data-action]").forEach((button) => {
  button.addEventListener("click", actions[button.dataset.action]);
});
document.querySelectorAll("table[data-sortable]").forEach(makeSortable);
document.querySelectorAll("[data-filter]").forEach(makeFilter);
document.querySelectorAll("#choose").forEach(makeChoice);
// What is folded would be missing on paper.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
document.addEventListener("keydown", (event) => {
  const busy = event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select");
  // Inside a table that scrolls, the arrows scroll it.
  const scrolls = event.key.startsWith("Arrow") && event.target.closest(".scroll, dialog");
  if (busy || scrolls || !Object.hasOwn(keys, event.key)) return;
  event.preventDefault();
  keys[event.key]();
});
