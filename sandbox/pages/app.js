// The page of caught messages. Everything that came from outside is shown with textContent only.
"use strict";

const PAGE = 100;
const LARGEST = 1000;
const REFRESH = 2000; // milliseconds

const $ = (id) => document.getElementById(id);
const state = { limit: PAGE, total: 0, summaries: [], selected: "", signature: "", turn: 0 };
const items = new Map(); // message id -> <li>

function element(name, className, text) {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

async function fetchJson(url, options) {
  const response = await fetch(url, options);
  const body = await response.json();
  if (!response.ok) throw new Error(body.detail);
  return body;
}

function filters() {
  const chosen = { q: $("q").value.trim(), channel: $("channel").value, tenant: $("tenant").value };
  return new URLSearchParams(Object.entries(chosen).filter(([, value]) => value));
}

function clock(iso) {
  const moment = new Date(iso);
  const today = moment.toDateString() === new Date().toDateString();
  return today ? moment.toLocaleTimeString() : moment.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

// The list

function listItem(summary) {
  const node = element("li");
  const button = element("button", "item");
  button.type = "button";
  button.dataset.id = summary.id;
  const time = element("time", "", clock(summary.received_at));
  time.dateTime = summary.received_at;
  const tags = element("span", "tags");
  if (summary.channel !== "email") tags.append(element("span", "tag", summary.channel));
  if (summary.tenant) tags.append(element("span", "tag", summary.tenant));
  button.append(element("span", "to", summary.to), time, element("span", "subject", summary.subject || "(no subject)"), tags);
  button.addEventListener("click", () => select(summary.id));
  node.append(button);
  return node;
}

function showList() {
  const list = $("list");
  const wanted = new Set(state.summaries.map((summary) => summary.id));
  for (const [id, node] of items) {
    if (!wanted.has(id)) {
      node.remove();
      items.delete(id);
    }
  }
  // Nodes that stay are not moved, so focus and scroll position stay too.
  state.summaries.forEach((summary, index) => {
    let node = items.get(summary.id);
    if (!node) items.set(summary.id, (node = listItem(summary)));
    if (list.children[index] !== node) list.insertBefore(node, list.children[index] || null);
  });
  const shown = state.summaries.length;
  $("older").hidden = shown >= state.total || state.limit >= LARGEST;
  $("clear-open").disabled = state.total === 0;
  markSelected();
}

function markSelected() {
  for (const [id, node] of items) {
    if (id === state.selected) node.firstChild.setAttribute("aria-current", "true");
    else node.firstChild.removeAttribute("aria-current");
  }
}

function options(select, values, everything) {
  const chosen = select.value;
  if (chosen && !values.includes(chosen)) values = [...values, chosen];
  const present = [...select.options].slice(1).map((option) => option.value);
  if (present.join("\n") === values.join("\n")) return;
  select.replaceChildren(new Option(everything, ""), ...values.map((value) => new Option(value, value)));
  select.value = chosen;
}

async function refresh() {
  const turn = ++state.turn;
  const query = filters();
  query.set("view", "summary");
  query.set("limit", state.limit);
  try {
    const [page, known] = await Promise.all([fetchJson(`/api/messages?${query}`), fetchJson("/api/filters")]);
    if (turn !== state.turn) return; // a newer question is under way
    state.summaries = page.messages;
    state.total = page.total;
    options($("channel"), known.channels, "All channels");
    options($("tenant"), known.tenants, "All tenants");
    const signature = `${query}|${page.total}|${page.messages.length}|${page.messages[0]?.id}|${page.messages.at(-1)?.id}`;
    if (signature !== state.signature) {
      state.signature = signature;
      showList();
      showReader();
    }
    status(page.total === 1 ? "1 message" : `${page.total.toLocaleString()} messages`, false);
  } catch {
    if (turn === state.turn) status("The sandbox does not answer. Trying again…", true);
  }
}

function status(text, lost) {
  $("pulse").classList.toggle("lost", lost);
  if ($("status").textContent !== text) $("status").textContent = text;
}

// The reader

function showReader() {
  const filtered = filters().size > 0;
  const open = Boolean(state.selected);
  const nothing = state.total === 0;
  $("message").hidden = !open || nothing;
  $("empty").hidden = !nothing || filtered;
  $("none").hidden = !nothing || !filtered;
  $("choose").hidden = nothing || open;
}

async function select(id) {
  state.selected = id;
  markSelected();
  history.replaceState(null, "", id ? `#${id}` : location.pathname);
  if (!id) return showReader();
  try {
    const message = await fetchJson(`/api/messages/${encodeURIComponent(id)}`);
    if (state.selected !== id) return;
    showMessage(message);
  } catch {
    if (state.selected === id) select("");
    return;
  }
  showReader();
}

function fact(name, value) {
  const pair = element("div");
  pair.append(element("dt", "", name), element("dd", "", value));
  return pair;
}

function showMessage(message) {
  $("subject").textContent = message.subject || (message.channel === "email" ? "(no subject)" : message.channel);
  const files = message.attachments.map((file) => `${file.filename || file.content_type} (${file.size.toLocaleString()} bytes)`);
  const facts = [["To", message.to], ["Cc", message.cc.join(", ")],
    ["Bcc", message.bcc.join(", ")], ["From", message.from], ["Tenant", message.tenant], ["Channel", message.channel],
    ["Received", new Date(message.received_at).toLocaleString()], ["Attached", files.join(", ")]];
  $("facts").replaceChildren(...facts.filter(([, value]) => value).map(([name, value]) => fact(name, value)));

  const frame = $("frame");
  frame.hidden = !message.html;
  if (message.html) frame.src = `/api/messages/${encodeURIComponent(message.id)}/html`;
  else frame.removeAttribute("src");
  $("bubble").hidden = Boolean(message.html);
  $("bubble").textContent = message.text || "This message has no content to preview.";
  $("text").textContent = message.text || "This message has no text part.";
  $("source").textContent = message.raw;
  $("raw").href = `/api/messages/${encodeURIComponent(message.id)}/raw`;

  const rows = [];
  for (const [name, values] of Object.entries(message.headers)) {
    for (const value of [].concat(values)) {
      const row = element("tr");
      const head = element("th", "", name);
      head.scope = "row";
      row.append(head, element("td", "", value));
      rows.push(row);
    }
  }
  $("headers").replaceChildren(...rows);
}

// Keys, tabs, dialogs

const tabs = [...document.querySelectorAll("[role=tab]")];

function openTab(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
    $(other.getAttribute("aria-controls")).hidden = !chosen;
  }
}

tabs.forEach((tab, index) => {
  tab.addEventListener("click", () => openTab(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(index + step + tabs.length) % tabs.length];
    openTab(next);
    next.focus();
    event.preventDefault();
  });
});

$("list").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const item = event.target.closest("li");
  if (!step || !item) return;
  event.preventDefault();
  const next = (step > 0 ? item.nextElementSibling : item.previousElementSibling)?.firstChild;
  if (next) {
    next.focus();
    select(next.dataset.id);
  }
});

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea") || document.querySelector("dialog[open]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    $("q").focus();
  }
});

async function showHelp() {
  if (!$("rules").children.length) {
    const { rules } = await fetchJson("/api/magic");
    $("rules").replaceChildren(...rules.map((rule) => {
      const row = element("tr");
      const what = element("td", "", rule.effect);
      if (rule.reply) what.append(element("small", "", rule.reply));
      const name = element("td");
      name.append(element("code", "", rule.example));
      row.append(name, what);
      return row;
    }));
  }
  $("help").showModal();
}

$("help-open").addEventListener("click", showHelp);

$("clear-open").addEventListener("click", () => {
  const which = filters().size ? "that match the search and filters" : "in the sandbox";
  const count = state.total === 1 ? "The one message" : `All ${state.total.toLocaleString()} messages`;
  $("clear-what").textContent = `${count} ${which} will be gone for good.`;
  $("clear").returnValue = "no";
  $("clear").showModal();
});

$("clear").addEventListener("close", async () => {
  if ($("clear").returnValue !== "yes") return;
  try {
    await fetchJson(`/api/messages?${filters()}`, { method: "DELETE" });
    await select("");
  } finally {
    await refresh();
  }
});

let typing;
function changed() {
  clearTimeout(typing);
  typing = setTimeout(() => {
    state.limit = PAGE;
    refresh();
  }, 120);
}

for (const id of ["q", "channel", "tenant"]) $(id).addEventListener("input", changed);
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("reset").addEventListener("click", () => {
  for (const id of ["q", "channel", "tenant"]) $(id).value = "";
  changed();
  $("q").focus();
});
$("older").addEventListener("click", () => {
  state.limit = Math.min(state.limit + PAGE, LARGEST);
  refresh();
});
window.addEventListener("hashchange", () => select(location.hash.slice(1)));

async function showAddress() {
  try {
    $("smtp").textContent = (await fetchJson("/health")).smtp;
  } catch {
    // The general words of the page stay.
  }
}

async function start() {
  showAddress();
  await refresh();
  await select(location.hash.slice(1) || state.summaries[0]?.id || "");
  setInterval(() => document.hidden || refresh(), REFRESH);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
}

start();
