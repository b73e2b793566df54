// Sorting, filtering, run pages and large pictures. Without this script all sections follow each other, and the pictures
// of a run are links to the figures.
"use strict";
document.documentElement.classList.add("scripted");

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// --- a single section at a time: the part after # names a run or a place of the overview

const overview = document.getElementById("overview");
const bar = document.querySelector(".bar");
const skip = document.querySelector(".skip");

function route(moved) {
  let target = null;
  try {
    target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  } catch { /* a broken escape names nothing */ }
  const view = target?.closest(".view") ?? overview;
  for (const other of all(".view")) other.classList.toggle("current", other === view);
  document.title = view.dataset.title;
  skip.hash = view.id;
  // a target of scrolling must not lie under the bar
  document.documentElement.style.setProperty("--bar", `${bar.offsetHeight}px`);
  // the file holds a picture once; the pages of its runs show copies
  for (const frame of all(".picture:empty", view)) frame.append(document.querySelector(`#${CSS.escape(frame.dataset.from)} img`).cloneNode());
  if (!moved) return;
  if (target && target !== view) target.scrollIntoView();
  else window.scrollTo(0, 0);
  (target ?? view).focus({ preventScroll: true });
}
addEventListener("hashchange", () => route(true));
route(location.hash !== "");

// --- sorting: up, down, original order; numbers by size, empty cells last, equal cells in original order

const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

function compare(left, right, numeric) {
  if (left === "" || right === "") return left === right ? 0 : null;
  return numeric ? left - right : words.compare(left, right);
}

function sortBy(heading) {
  const table = heading.closest("table");
  const body = table.tBodies[0];
  const next = { none: "ascending", ascending: "descending", descending: "none" }[heading.ariaSort];
  for (const other of all("[aria-sort]", table)) other.ariaSort = "none";
  heading.ariaSort = next;
  const place = heading.cellIndex;
  const numeric = heading.classList.contains("number");
  const sign = next === "descending" ? -1 : 1;
  const value = (row) => row.cells[place].dataset.sort ?? row.cells[place].textContent.trim();
  const rows = all("tr", body).sort((row, other) => {
    const written = row.dataset.place - other.dataset.place;
    if (next === "none") return written;
    const [left, right] = [value(row), value(other)];
    const order = compare(left, right, numeric);
    if (order === null) return left === "" ? 1 : -1;
    return sign * order || written;
  });
  body.append(...rows);
}
for (const body of all(".results tbody")) all("tr", body).forEach((row, place) => { row.dataset.place = place; });
for (const heading of all("[aria-sort]")) heading.querySelector("button").addEventListener("click", () => sortBy(heading));

// --- filtering: all words, and for each facet any of the chosen values

const box = document.getElementById("filter");
const clear = document.getElementById("clear");
const chips = all(".chip");
const rows = all(".results tbody tr");
const pressed = (chip) => chip.ariaPressed === "true";

// a table without a facet, such as the claims, is not filtered by it
const knows = (row, facet) => row.parentElement.querySelector(`[data-${facet}]`) !== null;

function filter() {
  const wanted = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = new Map();
  for (const { dataset } of chips.filter(pressed)) chosen.set(dataset.facet, [...(chosen.get(dataset.facet) ?? []), dataset.value]);
  const fits = (row) => wanted.every((word) => row.textContent.toLowerCase().includes(word))
    && [...chosen].every(([facet, values]) => values.includes(row.dataset[facet]) || !knows(row, facet));
  for (const row of rows) row.hidden = !fits(row);
  for (const part of all(".results")) part.querySelector(".none").hidden = all("tbody tr:not([hidden])", part).length > 0;
  const active = wanted.length + chosen.size > 0;
  clear.hidden = !active;
  document.getElementById("count").textContent = active ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
}
box.addEventListener("input", filter);
for (const chip of chips) chip.addEventListener("click", () => { chip.ariaPressed = String(!pressed(chip)); filter(); });
clear.addEventListener("click", () => {
  box.value = "";
  for (const chip of chips) chip.ariaPressed = "false";
  filter();
  box.focus();
});
addEventListener("keydown", (event) => {
  const typing = /^(INPUT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && !typing && overview.classList.contains("current")) { event.preventDefault(); box.focus(); }
  if (event.key === "Escape" && event.target === box) clear.click();
});

// --- pictures, as large as the window

const large = document.getElementById("large");
for (const picture of all(".picture")) picture.addEventListener("click", () => {
  const [small, image] = [picture.querySelector("img"), large.querySelector("img")];
  image.src = small.src;
  image.alt = small.alt;
  large.showModal();
});
large.addEventListener("click", (event) => { if (event.target === large) large.close(); });
