"use strict";

const PAGE_SIZE = 50;
const NUM_KEYS = 9;
const at = (id) => document.getElementById(id);

let summary = null;   // of the whole review
let items = [];       // the loaded items of the current filter, in order
let total = 0;        // how many the filter has
let place = 0;        // index of the shown item in `items`
let choices = [];     // the classes of the keys 1 to 9
let draft = new Set();  // with several labels, those that are switched on
let isTouched = false;  // whether one was switched since the item was shown
let shown = null;     // the shown item, in detail
let isBusy = false;
let isStale = false;  // the filters changed while something else was under way
let request = 0;      // number of the last load, so that a late answer is dropped

// A text in the language of the page, filled in.
function words(key, values = {}) {
  return summary.texts[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)};
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error(words("ended"));
  }
  const values = await answer.json();
  if (!answer.ok) throw new Error(values.error || answer.statusText);
  return values;
}

function complain(error) {
  at("error").hidden = !error;
  at("error").textContent = error ? error.message : "";
}

function make(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function percent(value) {
  return summary.percent.replace("0.0", (100 * value).toFixed(1));
}

// The names of a label as the server writes it; null where there is none.
function namesOf(label) {
  if (!label) return null;
  return summary.is_several ? JSON.parse(label) : [label];
}

// A row of several inputs may have no path.
function nameOf(one) {
  return one.name || words("no_path");
}

function say(label) {
  const names = namesOf(label);
  return names === null ? "" : names.join(", ") || words("none_of_them");
}

function showProgress(values) {
  Object.assign(summary, values);
  const {num_reviewed: done, num_items: all, num_changed: changed, error_rate: rate} = summary;
  const sentences = [words("progress", {done: done.toLocaleString(), all: all.toLocaleString(),
    changed: changed.toLocaleString()})];
  if (rate) {
    sentences.push(words("rate", {wrong: rate.num_wrong, count: rate.num_reviewed,
      share: percent(rate.num_wrong / rate.num_reviewed), low: percent(rate.low),
      high: percent(rate.high)}));
  }
  sentences.push(words("saved_in", {path: summary.corrections}));
  at("progress").textContent = sentences.join(" ");
  at("bars").replaceChildren(...summary.sections.filter((one) => one.num_items).map((one) => {
    const box = make("div", `${words(one.name)} ${one.num_reviewed.toLocaleString()}` +
      ` / ${one.num_items.toLocaleString()}`);
    const bar = make("progress");
    bar.max = one.num_items;
    bar.value = one.num_reviewed;
    bar.setAttribute("aria-label", words(one.name));
    box.append(bar);
    return box;
  }));
}

// The filters that are set, for when they are folded.
function nameFilters() {
  const set = ["section", "class", "folder"].map(at)
    .filter((one) => one.selectedIndex > 0).map((one) => one.selectedOptions[0].text);
  at("filtered").textContent = [...set, at("state").selectedOptions[0].text].join(", ");
}

function filters(offset) {
  const asked = new URLSearchParams({offset, limit: PAGE_SIZE, state: at("state").value,
    section: at("section").value, class: at("class").value});
  if (at("folder").value !== "*") asked.set("folder", at("folder").value);
  return asked;
}

async function reload() {
  nameFilters();
  const own = ++request;
  const found = await ask(`/api/items?${filters(0)}`);
  if (own !== request) return;
  items = found.items;
  total = found.total;
  place = 0;
  await show();
}

// Where only open items are listed, the server leaves out those that were decided since.
async function loadMore() {
  const isOpen = at("state").value === "open";
  const offset = isOpen ? items.filter((one) => !one.decision).length : items.length;
  const own = ++request;
  const found = await ask(`/api/items?${filters(offset)}`);
  if (own !== request) return;
  const known = new Set(items.map((one) => one.item));
  items.push(...found.items.filter((one) => !known.has(one.item)));
}

function listItems() {
  const first = Math.max(0, Math.min(place - 10, items.length - 60));
  const rows = items.slice(first, first + 60).map((one, index) => {
    const line = make("li");
    const button = make("button");
    button.type = "button";
    const name = make("b");
    name.append(make("bdi", nameOf(one)));
    const to = one.decision ? ` ✓ ${say(one.decision)}` : "";
    const says = one.predicted ? `${say(one.predicted)} ${percent(one.confidence)}` : "?";
    button.append(name, make("small", `${say(one.label) || words("no_label")} → ${says}${to}`));
    if (first + index === place) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => { place = first + index; run(show); });
    line.append(button);
    return line;
  });
  at("items").replaceChildren(...rows);
  const current = at("items").querySelector("[aria-current]");
  if (current) at("items").scrollTop = Math.max(0, current.offsetTop - at("items").offsetTop - 90);
  at("count").textContent = items.length
    ? words("count", {place: (place + 1).toLocaleString(), total: total.toLocaleString()})
    : words("no_items");
  at("more").hidden = items.length >= total;
}

function showFacts(one) {
  const parts = [];
  parts.push(`${words("label")} `, make("b", say(one.label) || words("not_given")), " · ");
  if (one.predicted) {
    const agrees = one.predicted === one.label;
    parts.push(`${words("prediction")} `,
      make("span", say(one.predicted), one.label ? (agrees ? "right" : "wrong") : ""),
      ` ${percent(one.confidence)}`);
  } else {
    parts.push(words("no_prediction"));
  }
  parts.push(` · ${words(one.section)}`);
  if (one.decision) parts.push(` · ${words("decided")} `, make("b", say(one.decision)));
  at("facts").replaceChildren(...parts);
}

function showContent(one) {
  const content = [];
  if (one.columns.length) content.push(tableOf(one.columns));
  one.inputs.forEach((input, place) => {
    if (one.inputs.length > 1) content.push(make("h3", input.name));
    content.push(...showInput(one, input, place));
    if (input.error) complain(new Error(`${one.name}: ${input.error}`));
  });
  at("content").replaceChildren(...content);
}

function tableOf(columns) {
  const table = make("table");
  table.append(...columns.map(([name, cell]) => {
    const row = make("tr");
    const head = make("th", name);
    head.scope = "row";
    row.append(head, make("td", cell || "–"));
    return row;
  }));
  return table;
}

function showInput(one, input, place) {
  if (input.kind === null) return [make("p", words("missing"), "missing")];
  if (input.kind === "text") return [make("blockquote", input.text ?? "")];
  const picture = make("img", undefined, input.kind);
  picture.alt = words({audio: "spectrogram", video: "frames", channels: "channels"}[input.kind]);
  picture.src = pictureOf(one, place);
  picture.addEventListener("error", () => explain(picture.src));
  if (input.kind !== "audio") return [picture];
  const sound = make("audio");
  sound.controls = true;
  sound.preload = "auto";
  sound.src = `/media/${one.item}/sound?input=${place}`;
  return [picture, sound];
}

function pictureOf(one, place) {
  return `/media/${one.item}/picture?input=${place}&width=${at("content").clientWidth}`;
}

async function explain(path) {
  try {
    const answer = await fetch(path);
    if (!answer.ok) complain(new Error((await answer.json()).error));
  } catch {
    complain(new Error(words("ended")));
  }
}

// Up to nine classes keep their keys; of more, the likeliest of each item get them.
function chooseKeys(one) {
  if (summary.classes.length <= NUM_KEYS) return summary.classes;
  const p = one.probabilities;
  const order = summary.classes.map((_, index) => index);
  if (p) order.sort((a, b) => p[b] - p[a]);
  const names = order.map((index) => summary.classes[index]);
  const needed = new Set([one.label, one.decision].flatMap((label) => namesOf(label) ?? []));
  for (const name of draft) needed.add(name);
  const others = names.filter((name) => !needed.has(name));
  const rest = new Set(others.slice(0, Math.max(0, NUM_KEYS - needed.size)));
  return names.filter((name) => needed.has(name) || rest.has(name));
}

function startDraft(one) {
  const names = namesOf(one.decision) ?? namesOf(one.label) ?? namesOf(one.predicted) ?? [];
  draft = new Set(summary.is_several ? names.filter((name) => summary.classes.includes(name)) : []);
  choices = chooseKeys(one);
  isTouched = false;
}

// What Enter saves; empty where there is nothing to keep.
function kept(one) {
  if (!summary.is_several) return one.label || one.predicted;
  const isDraft = (label) => {
    const names = namesOf(label);
    return names?.length === draft.size && names.every((name) => draft.has(name));
  };
  return [one.decision, one.label, one.predicted].find(isDraft)
    ?? JSON.stringify(summary.classes.filter((name) => draft.has(name)));
}

function showChoices(one) {
  at("choices").replaceChildren(...choices.map((name, index) => {
    const button = make("button");
    button.type = "button";
    button.title = name;
    button.append(...(index < NUM_KEYS ? [make("kbd", String(index + 1))] : []), make("span", name));
    if (one.probabilities) {
      button.append(make("small", percent(one.probabilities[summary.classes.indexOf(name)])));
    }
    if (namesOf(one.label)?.includes(name)) button.classList.add("own");
    if (!summary.is_several && name === one.decision) button.classList.add("decided");
    button.addEventListener("click", () => choose(name));
    return button;
  }));
  at("other").hidden = summary.classes.length <= NUM_KEYS;
  showKept(one);
}

function showKept(one) {
  if (summary.is_several) {
    choices.forEach((name, index) => {
      at("choices").children[index].setAttribute("aria-pressed", String(draft.has(name)));
    });
  }
  const label = kept(one);
  const verb = label === one.label ? "keep" : label === one.predicted ? "accept" : "save";
  at("keep").hidden = !label;
  at("keep").querySelector("span").textContent = words(`${verb}_label`, {label: say(label)});
}

// One class is saved at once; of several labels one is switched on or off.
function choose(name) {
  if (!summary.is_several) { run(() => decide(name)); return; }
  if (isBusy || !shown) return;
  if (!draft.delete(name)) draft.add(name);
  isTouched = true;
  if (choices.includes(name)) { showKept(shown); return; }
  choices.push(name);
  showChoices(shown);
}

function keep() {
  if (shown && kept(shown)) run(() => decide(kept(shown)));
}

async function show() {
  complain(null);
  listItems();
  at("card").hidden = !items.length;
  if (!items.length) { shown = null; return; }
  const wanted = items[place].item;
  const found = await ask(`/api/items/${wanted}`);
  if (!items.length || items[place].item !== wanted) return;
  shown = found;
  at("name").textContent = nameOf(shown);
  showFacts(shown);
  showContent(shown);
  startDraft(shown);
  showChoices(shown);
  const next = items[place + 1];
  if (next && !["text", "inputs"].includes(summary.kind)) new Image().src = pictureOf(next, 0);
}

async function decide(label) {
  if (!shown) return;
  showProgress(await ask("/api/decide", {item: shown.item, label}));
  items[place].decision = label;
  await move(1);
}

async function move(step) {
  if (place + step >= items.length - 5 && items.length < total) await loadMore();
  place = Math.max(0, Math.min(items.length - 1, place + step));
  await show();
}

async function undo() {
  if (isTouched) { await show(); return; }  // not saved yet
  const {undone, ...progress} = await ask("/api/undo", {});
  showProgress(progress);
  if (!undone) return;
  let index = items.findIndex((one) => one.item === undone.item);
  if (index < 0) {
    items.splice(place, 0, undone);
    total += 1;
    index = place;
  }
  items[index] = undone;
  place = index;
  await show();
}

// One action at a time, so that a fast key never hits an item that is not shown yet.
async function run(action) {
  if (isBusy) return;
  isBusy = true;
  try {
    await action();
  } catch (error) {
    complain(error);
  } finally {
    isBusy = false;
  }
  if (isStale) {
    isStale = false;
    await run(reload);
  }
}

function applyFilters() {
  if (isBusy) isStale = true;
  else run(reload);
}

function togglePlay() {
  const sound = at("content").querySelector("audio");
  if (!sound) return;
  if (sound.paused) {
    sound.currentTime = 0;
    sound.play().catch(() => {});
  } else {
    sound.pause();
  }
}

document.addEventListener("keydown", (event) => {
  const {key, target} = event;
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (target.closest("select, input")) {
    if (key === "Escape") target.blur();
    if (key === "Enter" && target.id === "typed") {
      event.preventDefault();
      const name = target.value.trim();
      if (summary.classes.includes(name)) {
        target.value = "";
        target.blur();
        choose(name);
      } else {
        complain(new Error(words("no_class", {name})));
      }
    }
    return;
  }
  if (target.closest("button") && (key === "Enter" || key === " ")) return; // reached by Tab
  const number = key >= "1" && key <= "9" ? Number(key) : 0;
  const actions = {
    Enter: keep,
    " ": keep,
    u: () => run(undo),
    ArrowRight: () => run(() => move(1)),
    ArrowLeft: () => run(() => move(-1)),
    p: togglePlay,
    "/": () => { if (!at("other").hidden) at("typed").focus(); },
  };
  if (number && number <= choices.length && shown) {
    event.preventDefault();
    choose(choices[number - 1]);
  } else if (key in actions) {
    event.preventDefault();
    actions[key]();
  }
});

// A clicked button must not take the next Enter.
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button && event.detail > 0) button.blur();
});
at("keep").addEventListener("click", keep);
at("skip").addEventListener("click", () => run(() => move(1)));
at("back").addEventListener("click", () => run(() => move(-1)));
at("undo").addEventListener("click", () => run(undo));
at("more").addEventListener("click", () => run(async () => { await loadMore(); listItems(); }));
at("filters").addEventListener("change", applyFilters);
at("filters").addEventListener("submit", (event) => event.preventDefault());

run(async () => {
  summary = await ask("/api/summary");
  document.title = at("title").textContent = summary.title;
  at("remarks").replaceChildren(...summary.remarks.map((text) => make("li", text)));
  if (summary.is_several) {
    at("help").textContent = words("switch");
    at("help-keep").textContent = words("save");
  }
  const option = (value, text) => {
    const made = make("option", text);
    made.value = value;
    return made;
  };
  at("class").append(...summary.classes.map((name) => option(name, name)));
  at("names").append(...summary.classes.map((name) => option(name)));
  at("folder").append(option("*", words("all")), ...summary.folders.map(
    (one) => option(one.name, `${one.name || words("no_folder")} (${one.num_items.toLocaleString()})`)));
  at("folder").parentElement.hidden = summary.folders.length < 2;
  showProgress(summary);
  at("filter").open = window.innerWidth > 820;
  await reload();
});
