// The page: tabs, messages, the key, and what the server can do.

import { request, setKey } from "./api.js";
import * as extract from "./extract.js";
import * as write from "./write.js";

const $ = (id) => document.getElementById(id);

function say(message) {
  if (message?.status === 401) {
    $("key-form").hidden = false;
    $("key").focus();
    return;
  }
  const text = typeof message === "string" ? message : message.message;
  $("message").textContent = text;
  $("message").hidden = !text;
}

const tabs = [...document.querySelectorAll('[role="tab"]')];

function select(tab) {
  for (const each of tabs) {
    const isChosen = each === tab;
    each.setAttribute("aria-selected", String(isChosen));
    each.tabIndex = isChosen ? 0 : -1;
    $(each.getAttribute("aria-controls")).hidden = !isChosen;
  }
}

for (const [index, tab] of tabs.entries()) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(index + step + tabs.length) % tabs.length];
    select(next);
    next.focus();
  });
}

let isBegun = false;

async function load() {
  try {
    const response = await request("/v1/models");
    const { data } = await response.json();
    $("version").textContent = response.headers.get("biogpt-version") ?? "";
    $("key-form").hidden = true;
    if (isBegun) return;
    isBegun = true;
    extract.begin(data.filter((model) => model.does === "extraction"), say);
    write.begin(data.filter((model) => model.does === "completions"), say);
  } catch (error) {
    say(error);
  }
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey($("key").value);
  load();
});

load();
