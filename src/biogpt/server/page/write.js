// The tab that writes on from a prompt, token by token, until it is stopped.

import { lines, post } from "./api.js";
import { element } from "./highlight.js";

const $ = (id) => document.getElementById(id);
let models = [];
let running = null;
let say = () => {};

export function begin(list, onMessage) {
  models = list;
  say = onMessage;
  $("model").replaceChildren(...models.map((model) => element("option", { value: model.id }, model.id)));
  $("model").addEventListener("change", describe);
  $("write-form").addEventListener("submit", (event) => {
    event.preventDefault();
    write();
  });
  $("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) write();
  });
  $("write-stop").addEventListener("click", () => running?.abort());
  describe();
}

function describe() {
  const model = models.find((each) => each.id === $("model").value) ?? models[0];
  $("write-run").disabled = !model;
  $("write-about").textContent = model
    ? `${model.title}. ${model.caveats.join(" ")}`
    : "This server has no model that writes.";
}

async function write() {
  running?.abort();
  const control = new AbortController();
  running = control;
  say("");
  const prompt = $("prompt").value;
  $("written").hidden = false;
  $("written-prompt").textContent = prompt;
  $("written-text").textContent = "";
  $("write-stop").hidden = false;
  $("write-run").disabled = true;
  $("write-progress").textContent = "Writing…";
  const body = {
    model: $("model").value,
    prompt,
    max_tokens: Number($("max-tokens").value),
    temperature: Number($("temperature").value),
    top_p: Number($("top-p").value),
    top_k: 50,
    stream: true,
  };
  if ($("seed").value !== "") body.seed = Number($("seed").value);
  try {
    const response = await post("/v1/completions", body, { signal: control.signal });
    for await (const line of lines(response)) {
      const data = line.replace(/^data: /, "");
      if (data === "[DONE]") break;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      $("written-text").append(chunk.choices[0]?.text ?? "");
    }
    $("write-progress").textContent = "Done.";
  } catch (error) {
    $("write-progress").textContent = error.name === "AbortError" ? "Stopped." : "";
    if (error.name !== "AbortError") {
      $("written").hidden = !$("written-text").textContent;
      say(error);
    }
  }
  if (running === control) {
    running = null;
    $("write-stop").hidden = true;
    $("write-run").disabled = false;
  }
}
