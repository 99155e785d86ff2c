// Sorts, filters and copies tables. Without it every word, number and figure of the page is there all the same.
"use strict";
const make = (tag, attributes, text = "") => Object.assign(document.createElement(tag), attributes, {textContent: text});
const ownText = cell => {
  const copy = cell.cloneNode(true);
  copy.querySelectorAll("details").forEach(inner => inner.remove());
  return copy.textContent.replace(/\s+/g, " ").trim();
};

function sortBy(table, column) {
  const heads = [...table.tHead.rows[0].cells], head = heads[column];
  const rising = head.getAttribute("aria-sort") !== "ascending", body = table.tBodies[0];
  heads.forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const value = row => row.cells[column].dataset.value ?? ownText(row.cells[column]);
  const order = ([a], [b]) => {
    const x = Number(a), y = Number(b);
    return isNaN(x) || isNaN(y) ? a.localeCompare(b, "en", {numeric: true}) : x - y;
  };
  const rows = [...body.rows].map(row => [value(row), row]).sort(order);
  body.append(...(rising ? rows : rows.reverse()).map(([, row]) => row));
}

// A cell that a spreadsheet would compute is marked as text.
const field = text => {
  const safe = /^[=+@-]/.test(text) && isNaN(Number(text)) ? "'" + text : text;
  return /[",\n]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
};
const csv = table => [table.tHead.rows[0], ...[...table.tBodies[0].rows].filter(row => !row.hidden)]
  .map(row => [...row.cells].map(cell => field(ownText(cell))).join(",")).join("\n") + "\n";

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", {value: text});
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

const FEW_ROWS = 8;
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], rows = [...table.tBodies[0].rows];
  heads.forEach((head, column) => {
    const button = make("button", {type: "button"});
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortBy(table, column));
    head.append(button);
  });
  const tools = make("div", {className: "tools"}), name = table.caption.textContent;
  const said = make("output", {});
  if (rows.length > FEW_ROWS) {
    const words = new Map(rows.map(row => [row, row.textContent.toLowerCase()]));
    const filter = make("input", {type: "search", placeholder: "Filter rows", ariaLabel: "Filter rows: " + name});
    filter.addEventListener("input", () => {
      const wanted = filter.value.toLowerCase().split(/\s+/);
      rows.forEach(row => row.hidden = !wanted.every(word => words.get(row).includes(word)));
      said.textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length} rows`;
    });
    tools.append(filter);
  }
  const button = make("button", {type: "button", ariaLabel: "Copy as CSV: " + name}, "Copy as CSV");
  button.addEventListener("click", async () => {
    await copy(csv(table));
    said.textContent = "Copied";
  });
  tools.append(button, said);
  table.closest(".scroll").before(tools);
}

// Only an area that does scroll is a stop of the Tab key.
const areas = document.querySelectorAll(".scroll");
const reach = area => {
  const scrolls = area.scrollWidth > area.clientWidth + 1 || area.scrollHeight > area.clientHeight + 1;
  area.tabIndex = scrolls ? 0 : -1;
};
const resized = new ResizeObserver(entries => entries.forEach(entry => reach(entry.target)));
areas.forEach(area => resized.observe(area));

// The menu marks the part that is read, and brings its name into view where the menu scrolls.
const menu = document.querySelector("nav");
const parts = [...menu.querySelectorAll("a")].map(link => [link, document.getElementById(link.hash.slice(1))]);
function mark() {
  const read = parts.filter(([, part]) => part && part.getBoundingClientRect().top < innerHeight * 0.25);
  const current = (read.at(-1) ?? parts[0])?.[0];
  for (const [link] of parts) {
    if (link !== current) link.removeAttribute("aria-current");
    else if (!link.hasAttribute("aria-current")) {
      link.setAttribute("aria-current", "true");
      const aside = link.offsetLeft - (menu.clientWidth - link.offsetWidth) / 2;
      if (menu.scrollWidth > menu.clientWidth) menu.scrollTo({left: aside});
    }
  }
}
let waiting = false;
addEventListener("scroll", () => {
  if (!waiting) requestAnimationFrame(() => { waiting = false; mark(); });
  waiting = true;
}, {passive: true});
mark();

// Folded parts are printed, and folded again behind; those in cells of tables are not.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open], td details)")];
  opened.forEach(part => part.open = true);
});
addEventListener("afterprint", () => opened.forEach(part => part.open = false));

// A link into a folded part opens it.
function unfold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let part = target.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", unfold);
unfold();
