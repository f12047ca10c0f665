"use strict";
(() => {
  const form = document.getElementById("filters");
  const field = (name) => document.getElementById(name);
  const rows = [...document.querySelectorAll("tbody tr")];
  const edges = new Map([...document.querySelectorAll(".edge")].map((edge) => [edge.dataset.edge, edge]));
  const number = (name, otherwise) => {
    const input = field(name);
    return input && input.value !== "" ? Number(input.value) : otherwise;
  };
  const apply = () => {
    const name = field("name").value.trim().toLowerCase();
    const type = field("type").value;
    const relation = field("relation") ? field("relation").value : "";
    const score = number("score", 0);
    const years = field("from") ? [field("from"), field("to")] : [];
    const isLimited = years.some((input) => input.value !== input.defaultValue);
    const first = number("from", -Infinity);
    const last = number("to", Infinity);
    const counts = {pairs: 0, entities: 0};
    for (const row of rows) {
      const data = row.dataset;
      const isShown =
        (!name || data.text.includes(name)) &&
        (!type || data.types.split("\n").includes(type)) &&
        (!relation || data.relation === undefined || data.relation === relation) &&
        Number(data.score) >= score &&
        (!isLimited || (data.first !== "" && Number(data.last) >= first && Number(data.first) <= last));
      row.hidden = !isShown;
      const table = row.closest("table").id;
      counts[table] += isShown;
      if (table === "pairs" && edges.has(data.row)) edges.get(data.row).classList.toggle("dim", !isShown);
    }
    field("count").textContent = `Shown: ${counts.pairs} pairs, ${counts.entities} entities`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));
  form.hidden = false;
  apply();
})();
