"use strict";
// The gallery: rows stand in the page as JSON, one element each; cards are made for one page of
// results at a time, images only near the viewport. Data becomes text by textContent alone.
(() => {
  const PER_PAGE = 96;
  const HISTOGRAM_BINS = 50;
  const ERRORS_AT_ONCE = 200;
  const GUESSES_ON_A_CARD = 3;

  const byId = (id) => document.getElementById(id);
  const percent = (score) => (100 * score).toFixed(1) + "%";
  const grouped = (number) => number.toLocaleString("en");

  function element(name, className, text) {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function readRows() {
    const images = [], errors = [];
    for (const node of document.querySelectorAll("script.row")) {
      const row = JSON.parse(node.textContent);
      if (row.error) {
        errors.push(row);
        continue;
      }
      const next = node.nextElementSibling;
      row.thumbnail = next && next.classList.contains("thumbnail") ? next : null;
      row.search = row.path.toLowerCase();
      row.classes = row.chosen < 0 || !row.classes ? [row.label] : row.classes;
      row.classKeys = row.chosen < 0 ? ["unknown"] : row.classes.map((label) => "class:" + label);
      row.place = images.length;
      images.push(row);
    }
    return { images, errors };
  }

  const { images, errors } = readRows();
  const byPath = new Intl.Collator("en", { numeric: true });
  const comparisons = {
    path: (a, b) => byPath.compare(a.path, b.path) || a.place - b.place,
    surest: (a, b) => b.score - a.score || a.place - b.place,
    least: (a, b) => a.score - b.score || a.place - b.place,
  };
  const orders = { given: images };
  let found = images;
  let page = 0;
  let shown = -1; // place in `found` of the image in the dialog

  // Filters

  function fillClasses() {
    const counts = new Map();
    for (const row of images) {
      row.classKeys.forEach((key, i) => {
        const entry = counts.get(key) || { label: row.classes[i], count: 0 };
        entry.count += 1;
        counts.set(key, entry);
      });
    }
    const entries = [...counts].sort(([keyA, a], [keyB, b]) =>
      (keyB === "unknown") - (keyA === "unknown") || b.count - a.count ||
      byPath.compare(a.label, b.label));
    byId("class").options[0].textContent = `All classes (${grouped(images.length)})`;
    for (const [key, { label, count }] of entries) {
      const option = element("option", "", `${label} (${grouped(count)})`);
      option.value = key;
      byId("class").append(option);
    }
  }

  function drawHistogram() {
    const counts = new Array(HISTOGRAM_BINS).fill(0);
    for (const row of images) {
      counts[Math.min(HISTOGRAM_BINS - 1, Math.floor(row.score * HISTOGRAM_BINS))] += 1;
    }
    const most = Math.max(1, ...counts);
    const width = 100 / HISTOGRAM_BINS;
    counts.forEach((count, bin) => {
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      // The square root keeps bins with few images visible beside a very full one.
      const height = 24 * Math.sqrt(count / most);
      bar.setAttribute("x", bin * width);
      bar.setAttribute("y", 24 - height);
      bar.setAttribute("width", width * 0.84);
      bar.setAttribute("height", height);
      byId("histogram").append(bar);
    });
  }

  function readRange(moved) {
    const low = byId("low"), high = byId("high");
    if (+low.value > +high.value) {
      if (moved === low) high.value = low.value;
      else low.value = high.value;
    }
    low.style.zIndex = +low.value > 50 ? 2 : 1; // so that neither thumb buries the other
    byId("range-text").textContent = `${low.value}–${high.value}%`;
    [...byId("histogram").children].forEach((bar, bin) => {
      const middle = (100 * (bin + 0.5)) / HISTOGRAM_BINS;
      bar.classList.toggle("outside", middle < +low.value || middle > +high.value);
    });
    // The ends are open: rounding may put a score a hair outside 0 to 1.
    return [+low.value === 0 ? -Infinity : low.value / 100,
      +high.value === 100 ? Infinity : high.value / 100];
  }

  function filter(moved) {
    const text = byId("search").value.trim().toLowerCase();
    const key = byId("class").value;
    const [low, high] = readRange(moved);
    const sort = byId("sort").value;
    orders[sort] = orders[sort] || [...images].sort(comparisons[sort]);
    found = orders[sort].filter((row) => row.score >= low && row.score <= high &&
      (!key || row.classKeys.includes(key)) && (!text || row.search.includes(text)));
    showPage(0);
  }

  // Cards

  const nearViewport = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      nearViewport.unobserve(target);
      const row = found[target.dataset.place];
      if (row) target.replaceChildren(image(row));
    }
  }, { rootMargin: "500px" });

  function image(row) {
    if (!row.thumbnail) return element("span", "", "no preview");
    const image = element("img");
    image.alt = row.name;
    image.decoding = "async";
    image.src = row.thumbnail.textContent;
    return image;
  }

  function prediction([label, score], chosen) {
    const line = element("li", chosen ? "prediction chosen" : "prediction");
    const name = element("span", "prediction-label", label);
    name.title = label;
    name.dir = "auto";
    const track = element("span", "prediction-track");
    const bar = element("span", "prediction-bar");
    bar.style.width = Math.min(100, 100 * score) + "%";
    track.append(bar);
    line.append(name, element("span", "prediction-score", percent(score)), track);
    return line;
  }

  function card(row, place) {
    const made = element("li", "card");
    const button = element("button", "image");
    button.type = "button";
    button.dataset.place = place;
    button.setAttribute("aria-label", `${row.name}: ${row.label}, show details`);
    const text = element("div", "card-text");
    if (row.chosen < 0) text.append(element("p", "decision unknown", row.label));
    const predictions = element("ol", "predictions");
    row.predictions.slice(0, GUESSES_ON_A_CARD).forEach((entry, i) => {
      predictions.append(prediction(entry, i === row.chosen));
    });
    const name = element("p", "file-name", row.name);
    name.title = row.path;
    name.dir = "auto";
    text.append(predictions, name);
    made.append(button, text);
    nearViewport.observe(button);
    return made;
  }

  function showPage(wanted) {
    const pages = Math.max(1, Math.ceil(found.length / PER_PAGE));
    page = Math.min(Math.max(wanted, 0), pages - 1);
    const first = page * PER_PAGE;
    const rows = found.slice(first, first + PER_PAGE);
    nearViewport.disconnect();
    byId("cards").replaceChildren(...rows.map((row, i) => card(row, first + i)));
    byId("empty").hidden = found.length > 0;
    const all = grouped(images.length) + (images.length === 1 ? " image" : " images");
    byId("found").textContent =
      found.length === images.length ? all : `${grouped(found.length)} of ${all}`;
    for (const pager of document.querySelectorAll(".pager")) {
      pager.hidden = pages === 1;
      pager.querySelector(".page-text").textContent =
        `${grouped(first + 1)}–${grouped(first + rows.length)} of ${grouped(found.length)}`;
      for (const button of pager.querySelectorAll("button")) {
        button.disabled = button.dataset.step < 0 ? page === 0 : page === pages - 1;
      }
    }
  }

  // Details of one image

  function showDetails(place) {
    if (place < 0 || place >= found.length) return;
    shown = place;
    const row = found[place];
    byId("details-place").textContent = `${grouped(place + 1)} of ${grouped(found.length)}`;
    byId("details-previous").disabled = place === 0;
    byId("details-next").disabled = place === found.length - 1;
    byId("details-image").replaceChildren(image(row));
    byId("details-name").textContent = row.name;
    byId("details-decision").textContent = row.label;
    byId("details-decision").hidden = row.chosen >= 0; // else the predictions mark it
    byId("details-predictions").replaceChildren(
      ...row.predictions.map((entry, i) => prediction(entry, i === row.chosen)));
    byId("details-path").textContent = row.path;
    byId("details-sorted-row").hidden = !row.sorted_to;
    byId("details-sorted").textContent = row.sorted_to || "";
    if (!byId("details").open) byId("details").showModal();
  }

  // Errors

  function showErrors() {
    const body = byId("error-rows");
    for (const row of errors.slice(body.children.length, body.children.length + ERRORS_AT_ONCE)) {
      const line = element("tr");
      const path = element("td", "path", row.path);
      path.dir = "auto";
      const kind = element("td");
      kind.append(element("span", "tag", row.error.kind));
      line.append(path, kind, element("td", "path", row.error.message));
      body.append(line);
    }
    const left = errors.length - body.children.length;
    byId("errors").hidden = errors.length === 0;
    byId("more-errors").hidden = left === 0;
    byId("more-errors").textContent =
      `Show ${grouped(Math.min(left, ERRORS_AT_ONCE))} more of ${grouped(left)}`;
  }

  // Wiring

  byId("filters").addEventListener("input", (event) => filter(event.target));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("filters").addEventListener("reset", () => setTimeout(filter));
  byId("more-errors").addEventListener("click", showErrors);
  byId("cards").addEventListener("click", (event) => {
    const button = event.target.closest("button.image");
    if (button) showDetails(+button.dataset.place);
  });
  for (const pager of document.querySelectorAll(".pager")) {
    pager.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      showPage(page + +button.dataset.step);
      if (pager.classList.contains("lower")) byId("filters").scrollIntoView();
    });
  }
  byId("details-close").addEventListener("click", () => byId("details").close());
  byId("details-previous").addEventListener("click", () => showDetails(shown - 1));
  byId("details-next").addEventListener("click", () => showDetails(shown + 1));
  byId("details").addEventListener("click", (event) => {
    if (event.target === byId("details")) byId("details").close(); // the backdrop
  });
  byId("details").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") showDetails(shown - 1);
    if (event.key === "ArrowRight") showDetails(shown + 1);
  });

  fillClasses();
  drawHistogram();
  showErrors();
  filter();
})();
