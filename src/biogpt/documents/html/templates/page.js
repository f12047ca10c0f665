// Filters, keys and the lighting of a relation's mentions. Documents are read once; after that only what changes is touched.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const types = byId("types"), name = byId("name"), score = byId("score"), least = byId("least");
  const found = byId("found"), known = byId("known"), only = byId("only"), count = byId("count"), help = byId("help");
  const articles = Array.from(document.querySelectorAll("article"));
  const tally = new Map();
  let hasKnown = false;

  const itemOf = (node) => {
    const data = node.dataset, list = data.t ? data.t.split("\t") : [];
    const isMark = node.tagName === "MARK";
    const before = isMark ? node.classList.contains("known") : node.closest("table.known") !== null;
    const both = isMark && node.classList.contains("both");
    hasKnown = hasKnown || before || both;
    if (isMark && !node.classList.contains("on")) {
      const entry = tally.get(data.t) || { label: "", hue: "", number: 0 };
      entry.number += 1;
      entry.hue = entry.hue || Array.from(node.classList).find((each) => /^h\d+$/.test(each));
      entry.label = entry.label || node.title.split(",")[0];
      tally.set(data.t, entry);
    }
    return { node, types: list, score: data.s === undefined ? null : Number(data.s), name: data.n || "", before, both, off: false };
  };
  const entries = articles.map((node) => ({
    node, items: Array.from(node.querySelectorAll("mark, tbody tr, .labels li"), itemOf), hidden: false,
  }));

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
    let shown = 0, numItems = 0;
    for (const entry of entries) {
      let isAny = false;
      for (const item of entry.items) {
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
        numItems += isOff ? 0 : 1;
      }
      const isHidden = !isAny && (only.checked || wanted !== "");
      if (isHidden !== entry.hidden) {
        entry.hidden = isHidden;
        entry.node.hidden = isHidden;
      }
      shown += isHidden ? 0 : 1;
    }
    count.textContent = `${shown.toLocaleString("en")} of ${entries.length.toLocaleString("en")} documents`;
    count.dataset.items = numItems;
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

  apply();
})();
