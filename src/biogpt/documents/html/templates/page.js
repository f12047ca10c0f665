// Filters, keys and the lighting of a relation's mentions. Documents are read once; after that only what changes is touched.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const types = byId("types"), name = byId("name"), score = byId("score"), least = byId("least");
  const found = byId("found"), known = byId("known"), only = byId("only"), count = byId("count"), help = byId("help");
  const articles = Array.from(document.querySelectorAll("article"));
  const tally = new Map();

  const entries = articles.map((node) => ({ node, items: null, hidden: false }));
  const hasKnown = document.querySelector("mark.known, mark.both, table.known") !== null;

  const itemOf = (node) => {
    const data = node.dataset, isMark = node.tagName === "MARK";
    return {
      node,
      types: data.t ? data.t.split("\t") : [],
      score: data.s === undefined ? null : Number(data.s),
      name: data.n || "",
      before: isMark ? node.classList.contains("known") : node.closest("table.known") !== null,
      both: isMark && node.classList.contains("both"),
      off: false,
    };
  };
  const itemsOf = (entry) => (entry.items ||= Array.from(entry.node.querySelectorAll("mark, tbody tr, .labels li"), itemOf));

  for (const mark of document.querySelectorAll("mark:not(.on)")) {
    const entry = tally.get(mark.dataset.t);
    if (entry) entry.number += 1;
    else {
      const hue = Array.from(mark.classList).find((each) => /^h\d+$/.test(each));
      tally.set(mark.dataset.t, { label: mark.title.split(",")[0], hue, number: 1 });
    }
  }

  // A chip for each type that a document has, too: the heading knows only those that were looked for.
  for (const [type, entry] of tally) {
    let chip = Array.from(types.children).find((each) => each.dataset.t === type);
    if (!chip) {
      chip = document.createElement("button");
      chip.type = "button";
      chip.className = `chip ${entry.hue}`;
      chip.dataset.t = type;
      chip.textContent = entry.label;
      chip.setAttribute("aria-pressed", "true");
      types.append(chip);
    }
    const number = document.createElement("small");
    number.textContent = entry.number.toLocaleString("en");
    chip.append(" ", number);
  }
  byId("known-label").hidden = !hasKnown;
  byId("controls").hidden = false;

  function apply() {
    const off = new Set(Array.from(types.children, (chip) => (chip.getAttribute("aria-pressed") === "false" ? chip.dataset.t : null)));
    const wanted = name.value.trim().toLowerCase(), bound = Number(score.value);
    least.value = bound.toFixed(2);
    let shown = 0;
    for (const entry of entries) {
      let isAny = false;
      for (const item of itemsOf(entry)) {
        const isOff =
          item.types.some((type) => off.has(type)) ||
          (item.score !== null && !item.before && item.score < bound) ||
          (wanted !== "" && !item.name.includes(wanted)) ||
          !((item.before ? known.checked : found.checked) || (item.both && known.checked));
        if (isOff !== item.off) {
          item.off = isOff;
          item.node.classList.toggle("off", isOff);
        }
        isAny = isAny || !isOff;
      }
      const isHidden = !isAny && (only.checked || wanted !== "");
      if (isHidden !== entry.hidden) {
        entry.hidden = isHidden;
        entry.node.hidden = isHidden;
      }
      shown += isHidden ? 0 : 1;
    }
    count.textContent = `${shown.toLocaleString("en")} of ${entries.length.toLocaleString("en")} documents`;
  }

  let timer = 0;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(apply, 120);
  };
  function reset() {
    name.value = "";
    score.value = "0";
    found.checked = known.checked = true;
    only.checked = false;
    for (const chip of types.children) chip.setAttribute("aria-pressed", "true");
    light(null);
    pinned = null;
    apply();
  }
  types.addEventListener("click", (event) => {
    const chip = event.target.closest(".chip");
    if (!chip) return;
    chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") === "false"));
    apply();
  });
  name.addEventListener("input", later);
  score.addEventListener("input", () => {
    least.value = Number(score.value).toFixed(2);
    later();
  });
  for (const box of [found, known, only]) box.addEventListener("change", apply);
  byId("reset").addEventListener("click", reset);
  byId("help-button").addEventListener("click", () => help.showModal());

  // Relations: the row that is pointed at, has the focus or was chosen lights its mentions in the text beside it.
  let pinned = null, lit = null;
  function light(row) {
    if (row === lit) return;
    if (lit) {
      lit.classList.remove("lit");
      for (const mark of lit.closest("article").querySelectorAll("mark.lit")) mark.classList.remove("lit");
      lit.closest("article").classList.remove("has-lit");
    }
    lit = row;
    if (!row) return;
    row.classList.add("lit");
    const article = row.closest("article"), wanted = new Set((row.dataset.m || "").split(" "));
    article.classList.add("has-lit");
    for (const mark of article.querySelectorAll("mark")) if (wanted.has(mark.dataset.i)) mark.classList.add("lit");
  }
  const rowOf = (event) => event.target.closest && event.target.closest("tbody tr");
  document.addEventListener("mouseover", (event) => light(rowOf(event) || pinned));
  document.addEventListener("focusin", (event) => light(rowOf(event) || pinned));
  document.addEventListener("focusout", () => light(pinned));
  document.addEventListener("click", (event) => {
    const row = rowOf(event);
    if (!row || event.target.closest("a")) return;
    pinned = pinned === row ? null : row;
    light(pinned);
  });

  let current = -1;
  function go(step) {
    let next = current + step;
    while (next >= 0 && next < entries.length && entries[next].hidden) next += step;
    if (next < 0 || next >= entries.length) return;
    if (current >= 0) articles[current].classList.remove("current");
    current = next;
    articles[current].classList.add("current");
    articles[current].tabIndex = -1;
    articles[current].focus({ preventScroll: true });
    articles[current].scrollIntoView({ block: "start" });
  }
  function goToRow(step) {
    const rows = Array.from(document.querySelectorAll("article:not([hidden]) tbody tr:not(.off)"));
    const place = rows.indexOf(document.activeElement);
    const start = place >= 0 ? place + step : rows.findIndex((row) => current < 0 || articles.indexOf(row.closest("article")) >= current);
    const row = rows[start];
    if (!row) return;
    row.focus();
    row.scrollIntoView({ block: "nearest" });
    current = articles.indexOf(row.closest("article"));
  }
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
    if (event.key === "Escape") {
      reset();
      if (document.activeElement) document.activeElement.blur();
      return;
    }
    if (event.target.matches("input:not([type=checkbox]):not([type=range]), textarea")) return;
    const row = event.target.closest("tbody tr");
    if (event.key === "/") name.focus();
    else if (event.key === "j") go(1);
    else if (event.key === "k") go(-1);
    else if (event.key === "n" || (row && event.key === "ArrowDown")) goToRow(1);
    else if (event.key === "N" || (row && event.key === "ArrowUp")) goToRow(-1);
    else if (event.key === "?") help.showModal();
    else if (event.key === "Enter" && row && event.target === row) row.click();
    else return;
    event.preventDefault();
  });

  byId("count").textContent = `${entries.length.toLocaleString("en")} documents`;
  // What the browser has kept of an earlier visit holds again.
  if (name.value || score.value !== "0" || only.checked || !found.checked || !known.checked) apply();
})();
