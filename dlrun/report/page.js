// Tables are sorted by a click on a head, and opened sorted by #table=runs&sort=COLUMN&order=descending.
"use strict";

const leading = /^[+-]?(\d[\d,]*\.?\d*|\.\d+)(e[+-]?\d+)?(?= |$)/i; // 0.95, 1e-3, 0.95 ± 0.01, 4 of 6
const number = (text) => parseFloat(text.replaceAll(",", ""));

function sort(table, column, order) {
  const text = new Map([...table.tBodies[0].rows].map((row) => [row, row.cells[column].textContent.trim()]));
  const shown = [...text.keys()].filter((row) => text.get(row));
  const numeric = shown.filter((row) => leading.test(text.get(row)));
  const isNumeric = 2 * numeric.length > shown.length; // of numbers, words such as "undefined" are the missing ones
  const known = isNumeric ? numeric : shown;
  const rest = [...text.keys()].filter((row) => !known.includes(row));
  const compare = isNumeric
    ? (a, b) => number(a) - number(b)
    : (a, b) => a.localeCompare(b, undefined, { numeric: true });
  const sign = order === "descending" ? -1 : 1;
  known.sort((a, b) => sign * compare(text.get(a), text.get(b)));
  table.tBodies[0].append(...known, ...rest);
  for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
  table.tHead.rows[0].cells[column].setAttribute("aria-sort", order);
}

for (const table of document.querySelectorAll("section:not(#side-by-side) table")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (![...table.tBodies[0].rows].some((row) => row.cells[column].textContent.trim())) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      sort(table, column, order);
      const place = new URLSearchParams({ table: table.closest("section").id, sort: button.textContent, order });
      history.replaceState(null, "", `#${place}`);
    });
  });
}

function open() {
  const place = new URLSearchParams(location.hash.slice(1));
  const table = document.getElementById(place.get("table"))?.querySelector("table");
  const column = table ? [...table.tHead.rows[0].cells].findIndex((head) => head.textContent === place.get("sort")) : -1;
  if (column >= 0) sort(table, column, place.get("order") === "descending" ? "descending" : "ascending");
}
addEventListener("hashchange", open);
open();

async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    // A page without the right to the clipboard can still copy what is selected.
    getSelection().selectAllChildren(code);
    document.execCommand("copy");
  }
}

for (const code of document.querySelectorAll("td > code")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "copy";
  button.addEventListener("click", async () => {
    await copy(code);
    button.textContent = "copied";
    setTimeout(() => (button.textContent = "copy"), 1500);
  });
  code.before(button);
}
