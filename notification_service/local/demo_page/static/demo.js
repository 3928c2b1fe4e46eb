// The demo page: asks who its two people are, gives each a bell and a chat, and sends what the buttons say.
import { Api, ChatClient, NotificationClient } from "/demo/files/notification-client.js";
import "/demo/files/notification-inbox.js";
import "/demo/files/notification-chat.js";

const $ = (selector, within = document) => within.querySelector(selector);

/** What is sent, one after the other. */
const NOTIFICATIONS = [
  { title: "Interview on Thursday at ten", body: "Fourth floor, room Ada. Please confirm.", category: "interviews" },
  { title: "Your documents are complete", body: "Nothing is missing any more; the team has been told.", category: "documents" },
  { title: "Offer ready to sign", body: "Valid for two weeks. You can sign it online.", category: "offers" },
  { title: "A new comment on your task", body: "“Looks good to me, let's go ahead.”", category: "tasks" },
];
const SAYINGS = [
  "Quick question: is there parking nearby?",
  "Found it, thank you!",
  "Shall I bring my laptop?",
  "Perfect 👍 see you on Thursday.",
];
const BUTTONS = [
  { label: "Accept", callback: "accept" },
  { label: "Calendar", url: "/demo/#calendar" },
];

let asked;

/** Who stands on the page, with tokens of a quarter of an hour. Asked once for both of them. */
function people({ refresh = false } = {}) {
  if (!asked || refresh) {
    const mine = (async () => {
      const answer = await fetch("/demo/people", { method: "POST" });
      if (!answer.ok) throw new Error(`The demo's people can not be asked for (status ${answer.status}).`);
      return answer.json();
    })();
    asked = mine;
    mine.catch(() => {
      if (asked === mine) asked = undefined;
    });
    setTimeout(() => {
      if (asked === mine) asked = undefined; // ask anew before they expire
    }, 600_000);
  }
  return asked;
}

function tokenOf(index) {
  return async (request) => (await people(request)).people[index].token;
}

function say(text, failed = false) {
  const log = $("#log");
  log.textContent = text;
  log.dataset.state = failed ? "failed" : "";
}

/** One half of the page. */
function seat(person, index, tenantId) {
  const half = $("#person").content.firstElementChild.cloneNode(true);
  const bell = new NotificationClient({ token: tokenOf(index) });
  const api = new Api({ token: tokenOf(index) });
  const chat = new ChatClient({ api, tenantId });
  $("h2", half).textContent = person.name;
  $("h2", half).id = `person-${index}`;
  $(".who p", half).id = `role-${index}`;
  half.setAttribute("aria-labelledby", `person-${index} role-${index}`);
  $(".who p", half).textContent = person.role === "hr" ? "Human resources" : "Applicant";
  $(".avatar", half).textContent = person.name.split(" ").map((word) => word[0]).join("");
  const connection = $(".connection", half);
  const show = () => {
    const states = [bell.status, chat.status];
    const state = !navigator.onLine ? "offline" : states.every((each) => each === "open") ? "online" : "connecting";
    connection.dataset.state = state;
    connection.textContent = { online: "Live", offline: "Offline", connecting: "Connecting" }[state];
  };
  bell.on("status", show);
  chat.on("status", show);
  addEventListener("online", show);
  addEventListener("offline", show);
  show();
  $("#people").append(half);
  const [inbox, window_] = [$("notification-inbox", half), $("notification-chat", half)];
  inbox.client = bell;
  window_.client = chat;
  bell.start();
  chat.start();
  half.addEventListener("notification-action", ({ detail: { action } }) => {
    if (action.callback) say(`${person.name} pressed “${action.label}”: the page hears the callback “${action.callback}”.`);
  });
  return { person, api, bell, chat, inbox, window: window_ };
}

async function start() {
  const { people: found, tenant_id } = await people();
  found.forEach((person, index) => {
    const choice = document.createElement("label");
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "to", value: String(index) });
    radio.checked = index === 1;
    choice.append(radio, Object.assign(document.createElement("span"), { textContent: person.name.split(" ")[0] }));
    $("#to").append(choice);
  });
  const seats = found.map((person, index) => seat(person, index, tenant_id));
  const [sender, receiver] = seats;
  wire(seats);
  say(`${sender.person.name} sends; choose for whom.`);
  const show = async (one, other) => {
    one.window.conversation = await one.chat.direct(other.person.user_id);
  };
  await Promise.all([show(sender, receiver), show(receiver, sender)]);
}

function wire(seats) {
  const form = $("#send");
  const [sender, receiver] = seats;
  let [sent, said] = [0, 0];

  const content = () => {
    const { category, ...words } = NOTIFICATIONS[sent++ % NOTIFICATIONS.length];
    const { priority, actions, sound } = form.elements;
    return {
      category,
      content: {
        ...words,
        priority: priority.value,
        sound: sound.checked ? "chime" : "none",
        ...(actions.checked && { action: { url: "/demo/#interview", label: "Open" }, actions: BUTTONS }),
      },
    };
  };
  const notify = async (target, extra = {}) => {
    const made = content();
    return sender.api.request("POST", "/api/notifications/records/", {
      body: {
        channel: "inapp",
        lane: "critical",
        recipient: target.person.user_id,
        content: { ...made.content, ...extra },
        metadata: { category: made.category },
      },
    });
  };
  const doing = async (what, work) => {
    const begun = performance.now();
    try {
      await work();
      say(`${what}: accepted in ${Math.round(performance.now() - begun)} ms.`);
    } catch (error) {
      say(`${what} failed: ${error.detail ?? error.message}`, true);
    }
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const target = seats[Number(form.elements.to.value)];
    void doing(`A notification for ${target.person.name}`, () => notify(target));
  });
  $("#burst").addEventListener("click", () => {
    const target = seats[Number(form.elements.to.value)];
    const each = (_, number) => notify(target, { title: `Message ${number + 1} of 20`, sound: number ? "none" : "chime" });
    void doing(`Twenty notifications for ${target.person.name}`, () => Promise.all(Array.from({ length: 20 }, each)));
  });
  $("#broadcast").addEventListener("click", () => {
    const body = { audience: "tenant", content: { title: "Summer party on Friday", body: "From five o'clock, on the roof.", priority: "low" } };
    void doing("A broadcast to everybody", () => sender.api.request("POST", "/api/v1/notifications/broadcasts", { body }));
  });
  $("#chat").addEventListener("click", () => {
    const id = receiver.window.conversation;
    if (!id) return say("The chat is still loading.", true);
    receiver.chat.send(id, { text: SAYINGS[said++ % SAYINGS.length] });
    say(`${receiver.person.name} wrote to ${sender.person.name}.`);
  });
  form.inert = false;
  wireTheme(seats);
}

function wireTheme(seats) {
  const button = $("#theme");
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  let chosen;
  const show = () => {
    const dark = chosen ? chosen === "dark" : prefersDark.matches;
    button.textContent = dark ? "Light" : "Dark";
    button.setAttribute("aria-label", dark ? "Switch to light colours" : "Switch to dark colours");
  };
  button.addEventListener("click", () => {
    const dark = chosen ? chosen === "dark" : prefersDark.matches;
    chosen = dark ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    for (const { inbox, window } of seats) for (const part of [inbox, window]) part.setAttribute("theme", chosen);
    show();
  });
  prefersDark.addEventListener("change", show);
  show();
}

start().catch((error) => {
  const failure = $("#failure");
  failure.textContent = error.message;
  failure.hidden = false;
});
