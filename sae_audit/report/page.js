// Draws the figures in the page's own colours, and keeps them in step with light, dark and print.
const drawn = () => document.querySelectorAll(".js-plotly-plot");
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function inkOf(layout) {
  const ink = colour("--soft"), changes = {"font.color": ink};
  for (const key of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(key)) {
      changes[key + ".gridcolor"] = colour("--grid");
      changes[key + ".zeroline"] = false;
      changes[key + ".linecolor"] = colour("--line");
      changes[key + ".title.font.size"] = 13;
    }
  }
  return changes;
}

// The palette is told apart on white; on black its darker colours need more light.
const LIGHTER = {"#0072B2": "#4AA3FF", "#009E73": "#2FC49A", "#D55E00": "#FF8A3D", "#66717F": "#B4BDC9"};
const darkMode = matchMedia("(prefers-color-scheme: dark)");
const printing = () => document.documentElement.classList.contains("printing");

function lit(data) {
  if (!darkMode.matches || printing()) return data;
  return JSON.parse(JSON.stringify(data).replace(/#(0072B2|009E73|D55E00|66717F)/g, found => LIGHTER[found]));
}

function draw(place) {
  const figure = figures[place.dataset.figure];
  Plotly.react(place, lit(figure.data), figure.layout, {responsive: true, displayModeBar: false});
  Plotly.relayout(place, inkOf(figure.layout));
}

// Room is kept for every figure first, so that nothing jumps; then one is drawn after another, so
// that the page can be read and scrolled meanwhile.
const waiting = [...document.querySelectorAll("[data-figure]")];
for (const place of waiting) place.style.height = figures[place.dataset.figure].layout.height + "px";
(function drawNext() {
  const place = waiting.shift();
  if (place && !place.classList.contains("js-plotly-plot")) draw(place);
  if (waiting.length) setTimeout(drawNext);
})();

const recolour = () => drawn().forEach(draw);
darkMode.addEventListener("change", recolour);
addEventListener("beforeprint", () => {
  document.documentElement.classList.add("printing");
  document.querySelectorAll("[data-figure]:not(.js-plotly-plot)").forEach(draw);
  recolour();
  drawn().forEach(place => Plotly.Plots.resize(place));
});
addEventListener("afterprint", () => {
  document.documentElement.classList.remove("printing");
  recolour();
});

function sortBy(table, head, column) {
  const rising = head.getAttribute("aria-sort") !== "ascending", body = table.tBodies[0];
  table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const order = (a, b) => {
    const x = Number(value(a)), y = Number(value(b));
    return isNaN(x) || isNaN(y) ? value(a).localeCompare(value(b), "en", {numeric: true}) : x - y;
  };
  [...body.rows].sort((a, b) => rising ? order(a, b) : order(b, a)).forEach(row => body.append(row));
}
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    head.tabIndex = 0;
    head.addEventListener("click", () => sortBy(table, head, column));
    head.addEventListener("keydown", event => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sortBy(table, head, column); }
    });
  });
}

const links = new Map([...document.querySelectorAll("nav a")].map(a => [a.hash.slice(1), a]));
const reading = new IntersectionObserver(entries => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      links.forEach(a => a.removeAttribute("aria-current"));
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }
}, {rootMargin: "-10% 0px -80% 0px"});
document.querySelectorAll("section[id]").forEach(section => reading.observe(section));
