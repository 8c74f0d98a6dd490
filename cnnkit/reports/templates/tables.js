"use strict";
// Tables that sort by a click on a heading, and filter by the text of their first column.
(() => {
  const byText = new Intl.Collator("en", { numeric: true });

  const cellValue = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  };

  function sort(table, header) {
    const column = header.cellIndex;
    const numeric = header.classList.contains("number");
    // Numbers start with the highest, texts with A.
    const first = numeric ? "descending" : "ascending";
    const second = numeric ? "ascending" : "descending";
    const direction = header.getAttribute("aria-sort") === first ? second : first;
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const compare = numeric ? (a, b) => a - b : byText.compare;
    const keyed = [...table.tBodies[0].rows].map((row) => [cellValue(row, column), row]);
    keyed.sort(([a], [b]) => sign * compare(a, b));
    table.tBodies[0].append(...keyed.map(([, row]) => row));
  }

  function filter(input) {
    const text = input.value.trim().toLowerCase();
    for (const row of document.getElementById(input.dataset.filters).tBodies[0].rows) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(text);
    }
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    table.tHead.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) sort(table, button.closest("th"));
    });
  }
  for (const input of document.querySelectorAll("input[data-filters]")) {
    input.addEventListener("input", () => filter(input));
  }
})();
