// The token viewer: colours the text that the page already contains. The address always names what is shown:
// #conversation/step/quantity/token.
"use strict";

const $ = (id) => document.getElementById(id);
const conversations = JSON.parse($("data").textContent);
const quantities = ["epistemic", "aleatoric", "total", "loss", "entropy", "selected"];
// Places in a token's list of numbers, behind the six quantities.
const PROBABILITY = 6, CLASS = 7, TOP = 8;
const radios = [...document.querySelectorAll("[name=quantity]")];
const tip = $("tip");
let state = { conversation: conversations[0], step: 0, quantity: "loss", token: null };
// What the tooltip is about: the token pointed at, which need not be the one with the focus.
let shown = null;

const number = (value) => (value === null ? "–" : value !== 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : value.toFixed(3));
const section = () => $(state.conversation.slug);
const tokens = () => [...section().querySelectorAll(".t")];
const current = () => tokens().find((element) => element.dataset.at === String(state.token));
// What a figure calls a quantity.
const called = (quantity) => state.conversation.names[quantities.indexOf(quantity)] ?? quantity;
const values = (position) => state.conversation.steps[state.step].tokens[position];
const measured = (quantity) => {
  const at = quantities.indexOf(quantity);
  return state.conversation.steps.some((step) => step.tokens.some((token) => token && token[at] !== null));
};

// Colours every token, and brings the controls in line with the state.
function show() {
  const { conversation, step, quantity } = state;
  const at = quantities.indexOf(quantity), binary = quantity === "selected";
  const high = binary ? 1 : conversation.scales[at];
  for (const part of document.querySelectorAll(".conversation")) part.hidden = part !== section();
  for (const element of tokens()) {
    const value = values(Number(element.dataset.at))[at];
    const place = value === null ? 0 : Math.min(Math.max(value / high, 0), 1) * (binary ? 0.65 : 1);
    element.style.setProperty("--at", place.toFixed(3));
    element.classList.toggle("none", value === null);
    element.tabIndex = -1;
    element.removeAttribute("title");
  }
  (current() || tokens()[0]).tabIndex = 0;
  $("conversation").value = conversation.slug;
  radios.forEach((radio) => {
    radio.checked = radio.value === quantity;
    radio.disabled = !measured(radio.value);
    radio.nextElementSibling.firstChild.data = `${called(radio.value)} `;
  });
  $("step").max = conversation.steps.length - 1;
  $("step").value = step;
  $("step").setAttribute("aria-valuetext", `step ${conversation.steps[step].step}`);
  $("step").closest("label").hidden = conversation.steps.length < 2;
  $("step-name").textContent = conversation.steps[step].step;
  $("scale-low").textContent = binary ? "no" : "0";
  $("scale-high").textContent = binary ? "yes" : `${high.toFixed(2)} nats or more`;
  document.querySelector(".scale").classList.toggle("two", binary);
  if (!tip.hidden && shown) explain(shown);
}

function address(token = state.token) {
  const parts = [state.conversation.slug, state.conversation.steps[state.step].step, state.quantity];
  return `#${(token === null ? parts : [...parts, token]).join("/")}`;
}

function change(part) {
  state = { ...state, ...part };
  if (part.conversation) {
    state.step = part.step ?? part.conversation.steps.length - 1;
    state.token = part.token ?? null;
    tip.hidden = true;
  }
  if (!measured(state.quantity)) state.quantity = "loss";
  show();
  history.replaceState(null, "", address());
}

// The numbers of one token, below it.
function explain(element) {
  shown = element;
  const position = Number(element.dataset.at), token = values(position);
  const row = (name, value, now) => `<dt>${name}</dt><dd${now ? ' class="now"' : ""}>${value}</dd>`;
  const escape = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
  const text = (of) => escape(of.replaceAll("\n", "↵"));
  const own = element.textContent.replaceAll("↵\n", "\n");
  const rows = quantities.slice(0, 5).filter(measured).map((name) => row(called(name), `${number(token[quantities.indexOf(name)])} nats`, name === state.quantity));
  if (token[5] !== null) rows.push(row("selected", token[5] ? "yes" : "no", state.quantity === "selected"));
  rows.push(row("probability", number(token[PROBABILITY])));
  if (token[CLASS]) rows.push(row("kind", escape(token[CLASS])));
  const alternatives = token[TOP].map(([word, p]) =>
    `<li${word === own ? ' class="label"' : ""}><code>${text(word)}</code><i style="width:${(100 * p).toFixed(1)}%"></i><span>${number(p)}</span></li>`);
  tip.innerHTML = `<b>${text(own)}</b><dl>${rows.join("")}</dl>${alternatives.length ? `<ol aria-label="Most probable tokens">${alternatives.join("")}</ol>` : ""}<a href="${address(position)}">Link to this token</a>`;
  tip.hidden = false;
  const box = element.getClientRects()[0];
  const left = Math.min(Math.max(box.left, 8), document.documentElement.clientWidth - tip.offsetWidth - 8);
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${box.bottom + scrollY + 8}px`;
}

// Updates the state when a token receives the focus.
function arrive(element) {
  state.token = Number(element.dataset.at);
  tokens().forEach((other) => { other.tabIndex = other === element ? 0 : -1; });
  explain(element);
  history.replaceState(null, "", address());
}

function focus(element) {
  if (!element) return;
  element.focus();
  // A page in the background receives no focus event.
  arrive(element);
}

// The token nearest above (−1) or below (+1).
function nextLine(element, way) {
  const from = element.getBoundingClientRect();
  const middle = (from.left + from.right) / 2;
  const beyond = tokens().map((other) => ({ other, box: other.getBoundingClientRect() })).filter(({ box }) => way * (box.top - from.top) > 4);
  const line = way * Math.min(...beyond.map(({ box }) => way * box.top));
  const distance = ({ box }) => Math.abs((box.left + box.right) / 2 - middle);
  return beyond.filter(({ box }) => Math.abs(box.top - line) < 4).sort((a, b) => distance(a) - distance(b))[0]?.other;
}

const moves = {
  ArrowLeft: (all, at) => all[at - 1],
  ArrowRight: (all, at) => all[at + 1],
  ArrowUp: (all, at) => nextLine(all[at], -1),
  ArrowDown: (all, at) => nextLine(all[at], 1),
  Home: (all) => all[0],
  End: (all) => all.at(-1),
};

function setStep(step) {
  change({ step: Math.min(Math.max(step, 0), state.conversation.steps.length - 1) });
}

// The parts of the address; an address that cannot be decoded has none.
function named() {
  try { return decodeURIComponent(location.hash.slice(1)).split("/"); } catch { return []; }
}

// Defaults replace what an address leaves out or names wrongly.
function follow() {
  const [slug, step, quantity, token] = named();
  const conversation = conversations.find((one) => one.slug === slug) || conversations[0];
  const found = conversation.steps.findIndex((one) => String(one.step) === step);
  const position = token === undefined ? null : Number(token);
  const known = position !== null && conversation.steps[0].tokens[position];
  change({
    conversation,
    step: found < 0 ? conversation.steps.length - 1 : found,
    quantity: quantities.includes(quantity) ? quantity : state.quantity,
    token: known ? position : null,
  });
  if (known) focus(current());
}

$("conversation").addEventListener("change", (event) => change({ conversation: conversations.find((one) => one.slug === event.target.value) }));
radios.forEach((radio) => radio.addEventListener("change", () => change({ quantity: radio.value })));
$("step").addEventListener("input", (event) => setStep(Number(event.target.value)));
$("controls").addEventListener("submit", (event) => event.preventDefault());
document.querySelectorAll(".tokens").forEach((text) => {
  const token = (event) => event.target.closest(".t");
  text.addEventListener("focusin", (event) => arrive(token(event)));
  text.addEventListener("mouseover", (event) => { if (token(event)) explain(token(event)); });
  text.addEventListener("mouseleave", (event) => { if (!tip.contains(event.relatedTarget)) { if (text.contains(document.activeElement)) explain(document.activeElement); else tip.hidden = true; } });
  text.addEventListener("click", (event) => focus(token(event)));
  text.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(moves, event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    const all = tokens();
    focus(moves[event.key](all, all.indexOf(token(event))));
  });
});
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select")) return;
  if (event.key >= "1" && event.key <= "6" && !radios[event.key - 1].disabled) change({ quantity: quantities[event.key - 1] });
  else if (event.key === "," || event.key === ".") setStep(state.step + (event.key === "." ? 1 : -1));
  else if (event.key === "Escape") tip.hidden = true;
});
addEventListener("hashchange", follow);
root.classList.add("scripted");
follow();
