// The API, as openapi.json describes it: each route with its parameters, fields and an example to copy.

import { element } from "./highlight.js";

const api = await (await fetch("/openapi.json")).json();

function resolve(schema) {
  return schema?.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema;
}

function typeOf(schema) {
  if (!schema) return "any";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeOf).filter((type) => type !== "null").join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items ?? schema.prefixItems?.[0])}`;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  return schema.type ?? "any";
}

// Text with `code` in it.
function prose(text) {
  return (text ?? "").split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

function table(heads, rows) {
  return element("div", { class: "table" }, element(
    "table", {},
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", {}, ...rows.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, ...[cell].flat()))))),
  ));
}

function fieldsOf(schema) {
  const resolved = resolve(schema);
  const required = new Set(resolved.required ?? []);
  return Object.entries(resolved.properties ?? {}).map(([name, field]) => [
    element("code", {}, name),
    typeOf(field) + (required.has(name) ? ", required" : ""),
    field.default === undefined || field.default === null ? "" : element("code", {}, JSON.stringify(field.default)),
    prose(field.description),
  ]);
}

function exampleOf(schema) {
  const resolved = resolve(schema);
  const example = {};
  for (const [name, field] of Object.entries(resolved.properties ?? {})) {
    if (field.examples) example[name] = field.examples[0];
  }
  return example;
}

function curl(path, method, operation) {
  const content = operation.requestBody?.content ?? {};
  const base = `curl ${location.origin}${path}`;
  if (content["application/json"]) {
    const body = JSON.stringify(exampleOf(content["application/json"].schema));
    return `${base} -H 'content-type: application/json' -d '${body}'`;
  }
  if (content["application/octet-stream"]) {
    return `curl '${location.origin}${path}?task=ncbi_disease&name=abstracts.xml' --data-binary @abstracts.xml`;
  }
  return base;
}

function route(path, method, operation) {
  const made = element(
    "section", {},
    element("h2", {}, element("span", { class: "method" }, method.toUpperCase()), ` ${path}`),
    element("p", {}, ...prose(operation.description)),
    element("pre", {}, curl(path, method, operation)),
  );
  if (operation.parameters?.length) {
    made.append(element("h3", {}, "In the query"), table(
      ["name", "type", "meaning"],
      operation.parameters.map((each) => [
        element("code", {}, each.name), typeOf(each.schema), prose(each.description ?? each.schema.description),
      ]),
    ));
  }
  const body = operation.requestBody?.content?.["application/json"]?.schema;
  if (body) made.append(element("h3", {}, "In the body"), table(["field", "type", "default", "meaning"], fieldsOf(body)));
  return made;
}

const routes = Object.entries(api.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => route(path, method, operation)));
const schemas = Object.entries(api.components.schemas)
  .filter(([name, schema]) => schema.properties && !/Validation/.test(name))
  .map(([name, schema]) => element(
    "section", {},
    element("h2", {}, name),
    element("p", {}, ...prose(schema.description)),
    table(["field", "type", "default", "meaning"], fieldsOf(schema)),
  ));
document.getElementById("routes").replaceChildren(
  element("p", {}, ...prose(api.info.description)), ...routes, element("h2", {}, "Objects"), ...schemas,
);
