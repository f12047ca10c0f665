// The tab that extracts: text or a file in, marked text and tables out, filtered and exported.

import { lines, post, request } from "./api.js";
import { element, formatScore, highlight, hueOf, mentionsOf } from "./highlight.js";

const EXAMPLES = {
  relations: "Cisplatin-induced renal failure in patients with lung cancer\n" +
    "We report acute renal failure in 12 patients who were given cisplatin. Nausea was common. Hydration lowered the " +
    "rate of nephrotoxicity, and no patient had hearing loss.",
  entities: "Cystic fibrosis and diabetes\n" +
    "Cystic fibrosis is an inherited disease of the lungs and the pancreas. Many patients develop diabetes mellitus; " +
    "some have liver cirrhosis or male infertility.",
  labels: "We randomised 240 patients with stable angina to aspirin or placebo for two years. Myocardial infarction " +
    "occurred in 5% of the aspirin group and in 11% of the placebo group (P < 0.01).",
};
const QUESTION = "Does aspirin prevent myocardial infarction in stable angina?";
const PAGE_SIZE = 50;

const $ = (id) => document.getElementById(id);
let models = [];
let found = []; // { document: what was sent, extraction: what came back }
let numShown = PAGE_SIZE;
let running = null;
let shown = null; // types; null: all
let say = () => {};

export function begin(list, onMessage) {
  models = list;
  say = onMessage;
  $("task").replaceChildren(...models.map((model) => element("option", { value: model.id }, model.title)));
  $("task").addEventListener("change", describe);
  $("extract-form").addEventListener("submit", (event) => {
    event.preventDefault();
    extractText();
  });
  $("stop").addEventListener("click", () => running?.abort());
  $("example").addEventListener("click", () => {
    $("text").value = EXAMPLES[chosen().extracts] ?? "";
    $("question").value = QUESTION;
  });
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    if (file) extractFile(file);
    $("file").value = "";
  });
  for (const [kind, isOver] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
    $("text").addEventListener(kind, (event) => {
      if (kind !== "dragleave" && !event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      $("text").classList.toggle("over", isOver);
      if (kind === "drop" && event.dataTransfer.files[0]) extractFile(event.dataTransfer.files[0]);
    });
  }
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) extractText();
  });
  $("least").addEventListener("input", () => {
    $("least-value").textContent = Number($("least").value).toFixed(2);
    render();
  });
  $("more").addEventListener("click", () => {
    numShown += PAGE_SIZE;
    render();
  });
  $("export").addEventListener("click", save);
  describe();
}

function chosen() {
  return models.find((model) => model.id === $("task").value) ?? models[0];
}

function describe() {
  const model = chosen();
  if (!model) {
    $("about").textContent = "This server has no model that extracts.";
    $("run").disabled = true;
    return;
  }
  const quality = model.quality ? `measured: ${model.quality}` : "not measured";
  $("about").textContent = `Model ${model.id}, ${quality}. ${model.caveats.join(" ")}`;
  const asks = model.fields.includes("question");
  $("question-row").hidden = !asks;
  $("text-label").textContent = asks ? "Context" : "Text";
}

// Pasted text: documents between blank lines; a first short line is a title.
function documentsOf(text) {
  const model = chosen();
  if (model.fields.length) {
    const values = Object.fromEntries(model.fields.map((name) => [name, text.trim()]));
    if ("question" in values) values.question = $("question").value;
    return [{ id: "1", fields: values }];
  }
  return text.split(/\n[ \t]*\n/).map((block) => block.trim()).filter(Boolean).map((block, index) => {
    const id = String(index + 1);
    const end = block.indexOf("\n");
    if (end > 0 && end < 300) return { id, title: block.slice(0, end).trim(), abstract: block.slice(end + 1).trim() };
    return { id, text: block };
  });
}

async function extractText() {
  const documents = documentsOf($("text").value);
  if (!documents.length) {
    say("There is no text yet. Paste one, or open a file.");
    $("text").focus();
    return;
  }
  await run(async (signal) => {
    const response = await post("/v1/extract", { model: chosen().id, documents }, { signal });
    const answer = await response.json();
    answer.documents.forEach((extraction, index) => found.push({ document: documents[index], extraction }));
  });
}

async function extractFile(file) {
  await run(async (signal) => {
    const query = new URLSearchParams({ model: chosen().id, name: file.name });
    const response = await request(`/v1/extract/file?${query}`, {
      method: "POST",
      headers: { "content-type": "application/octet-stream" },
      body: file,
      signal,
    });
    let numSkipped = 0;
    let last = 0;
    for await (const line of lines(response)) {
      const record = JSON.parse(line);
      if (record.error) say(record.id ? `${record.id}: ${record.error.message}` : record.error.message);
      else if (record.skipped) numSkipped += 1;
      else {
        const { document, ...extraction } = record;
        found.push({ document, extraction });
      }
      if (performance.now() - last > 300) {
        last = performance.now();
        $("progress").textContent = `${found.length} documents…`;
        render();
      }
    }
    if (numSkipped) say(`${numSkipped} records of the file could not be used.`);
  });
}

async function run(work) {
  running?.abort();
  const control = new AbortController();
  running = control;
  found = [];
  numShown = PAGE_SIZE;
  shown = null;
  say("");
  $("stop").hidden = false;
  $("run").disabled = true;
  $("progress").textContent = chosen().loaded ? "Reading…" : "Reading… (the first time, the model is loaded)";
  try {
    await work(control.signal);
    chosen().loaded = true;
    $("progress").textContent = "";
  } catch (error) {
    $("progress").textContent = error.name === "AbortError" ? "Stopped." : "";
    if (error.name !== "AbortError") say(error);
  }
  if (running === control) {
    running = null;
    $("stop").hidden = true;
    $("run").disabled = false;
  }
  render();
}

function typesOf() {
  const types = new Set();
  for (const { extraction } of found) {
    for (const mention of mentionsOf(extraction)) types.add(mention.type);
    for (const label of extraction.labels) types.add(label.slot);
  }
  return [...types];
}

// What is left of an extraction after the filters.
function filtered(extraction) {
  const least = Number($("least").value);
  const reaches = (item) => item.score === null || item.score >= least;
  const isShown = (type) => shown === null || shown.has(type);
  return {
    ...extraction,
    entities: extraction.entities.filter((entity) => reaches(entity) && isShown(entity.type)),
    relations: extraction.relations.filter(
      (relation) => reaches(relation) && Object.values(relation.roles).every((entity) => isShown(entity.type)),
    ),
    labels: extraction.labels.filter((label) => reaches(label) && isShown(label.slot)),
  };
}

function render() {
  $("results").hidden = !found.length;
  renderTypes();
  const kept = found.map(({ extraction }) => filtered(extraction));
  $("documents").replaceChildren(...kept.slice(0, numShown).map(renderDocument));
  $("more").hidden = kept.length <= numShown;
  const count = (name) => kept.reduce((sum, extraction) => sum + extraction[name].length, 0);
  const parts = [`${found.length} ${found.length === 1 ? "document" : "documents"}`];
  for (const name of ["entities", "relations", "labels"]) {
    if (count(name)) parts.push(`${count(name)} ${name}`);
  }
  $("summary").textContent = parts.length > 1 ? `${parts.join(", ")}.` : `${parts[0]}, nothing found.`;
}

function renderTypes() {
  const types = typesOf();
  const boxes = [...$("types").querySelectorAll("input")].map((box) => box.value);
  if (types.join() === boxes.join()) return;
  const made = types.map((type) => {
    const box = element("input", {
      type: "checkbox",
      value: type,
      onchange: () => {
        shown = new Set([...$("types").querySelectorAll("input:checked")].map((each) => each.value));
        render();
      },
    });
    box.checked = shown === null || shown.has(type);
    return element("label", {}, box, element("span", { class: "dot", hue: hueOf(type) }), type);
  });
  $("types").replaceChildren(element("legend", {}, "Types"), ...made);
}

function renderDocument(extraction) {
  const text = element("div", { class: "text" });
  text.append(highlight(extraction.text, mentionsOf(extraction)));
  const made = element("article", {}, element("h2", {}, extraction.id), text);
  if (extraction.relations.length) made.append(renderRelations(extraction.relations, made));
  const lost = extraction.entities.filter((entity) => !entity.spans.length);
  if (extraction.labels.length || lost.length) {
    made.append(element(
      "ul", { class: "labels" },
      ...extraction.labels.map((label) => element(
        "li", {}, `${label.slot}: `, element("strong", {}, label.value), ` ${formatScore(label.score)}`,
      )),
      ...lost.map((entity) => element("li", {}, `${entity.type}: ${entity.name} (not in the text)`)),
    ));
  }
  if (extraction.warnings.length) {
    made.append(element(
      "ul", { class: "warnings" }, ...extraction.warnings.map((warning) => element("li", {}, `Warning: ${warning}`)),
    ));
  }
  return made;
}

function renderRelations(relations, article) {
  const roles = [...new Set(relations.flatMap((relation) => Object.keys(relation.roles)))];
  const values = [...new Set(relations.flatMap((relation) => Object.keys(relation.values)))];
  const heads = [...roles, ...values].map((name) => element("th", { scope: "col" }, name));
  const body = element("tbody");
  for (const relation of relations) {
    const cells = roles.map((role) => element("td", {}, ...(relation.roles[role] ? nameOf(relation.roles[role]) : [])));
    cells.push(...values.map((name) => element("td", {}, relation.values[name] ?? "")));
    cells.push(element("td", { class: "number" }, formatScore(relation.score)));
    const toggle = (row) => {
      const isLit = row.getAttribute("aria-selected") === "true";
      article.querySelectorAll("tr[aria-selected]").forEach((each) => each.setAttribute("aria-selected", "false"));
      row.setAttribute("aria-selected", String(!isLit));
      light(article, isLit ? null : relation);
    };
    const row = element("tr", {
      tabindex: "0",
      "aria-selected": "false",
      onmouseenter: () => light(article, relation),
      onmouseleave: () => light(article, litRelation(article)),
      onfocus: () => light(article, relation),
      onblur: () => light(article, litRelation(article)),
      onclick: (event) => toggle(event.currentTarget),
      onkeydown: (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        toggle(event.currentTarget);
      },
    }, ...cells);
    row.relation = relation;
    body.append(row);
  }
  return element(
    "div", { class: "table" },
    element(
      "table", { role: "grid" },
      element("caption", {}, "Relations: point at a row, or select it, to see where its names stand"),
      element("thead", {}, element("tr", {}, ...heads, element("th", { scope: "col", class: "number" }, "score"))),
      body,
    ),
  );
}

function litRelation(article) {
  return article.querySelector('tr[aria-selected="true"]')?.relation ?? null;
}

function nameOf(entity) {
  const parts = [element("span", { class: "dot", hue: hueOf(entity.type) }), entity.name];
  if (entity.identifier) parts.push(element("span", { class: "missing" }, ` ${entity.identifier}`));
  if (!entity.spans.length) parts.push(element("span", { class: "missing" }, " (not in the text)"));
  return parts;
}

function light(article, relation) {
  const spans = new Set();
  for (const entity of Object.values(relation?.roles ?? {})) {
    entity.spans.forEach(([start, end]) => spans.add(`${start}-${end}`));
  }
  for (const mark of article.querySelectorAll("mark")) mark.classList.toggle("lit", spans.has(mark.dataset.span));
}

async function save() {
  const format = $("format").value;
  const kept = found.map(({ document, extraction }) => ({ document, extraction: filtered(extraction) }));
  try {
    const response = await post(`/v1/export?format=${format}`, {
      documents: kept.map((each) => each.document),
      extractions: kept.map((each) => each.extraction),
    });
    const endings = { "bioc-xml": "xml", "bioc-json": "json", pubtator: "pubtator" };
    const url = URL.createObjectURL(await response.blob());
    element("a", { href: url, download: `biogpt.${endings[format] ?? format}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  } catch (error) {
    say(error);
  }
}
