import type { Inbox, InboxState, View } from "../client/inbox.js";
import { h, setAttribute, type Child } from "../ui/dom.js";
import type { Locale } from "../ui/locale.js";
import { CHECKS, SPEAKER, SPEAKER_OFF } from "./contents-icons.js";
import { english } from "./contents-texts.js";
import css from "./contents.css";
import { makeList } from "./list.js";
import { makeMenu } from "./menu.js";
import { counted, label, part, tool } from "./parts.js";
import { snoozeMoments } from "./snooze.js";
import type { InboxTexts } from "./texts.js";
import { makeTimes } from "./times.js";
import { walk } from "./walk.js";

const VIEWS: readonly View[] = ["all", "unread", "snoozed", "archived"];
/** How long something is said, and the clock of “3 minutes ago”. Milliseconds. */
const TOAST_FOR = 6_000;
const TICK = 30_000;

/** Whose contents they are. */
export interface Host {
  toggleMute(): void;
  /** Dispatch an event. False if somebody has prevented what would follow. */
  tell(name: string, detail: unknown): boolean;
}

export type Trouble = "" | "offline" | "reconnecting" | "refused" | "unauthenticated";

/** What stands in the open panel. A file of its own: a page is quicker without, and few people open it at once. */
export interface Contents {
  /** Beside the heading. */
  readonly buttons: readonly HTMLElement[];
  /** Below it. */
  readonly parts: readonly HTMLElement[];
  end(): void;
  show(state: InboxState): void;
  showMuted(muted: boolean): void;
  /** Say what is wrong with the connection; nothing if all is well. */
  showTrouble(trouble: Trouble): void;
  /** Say something for a moment. */
  say(words: string): void;
  /** Say no longer what was said for a moment. */
  hush(): void;
  /** Say anew how long ago everything was. */
  tick(): void;
  /** Put the focus on a message, if they are there. */
  focus(): void;
}

export { css };

export function makeContents(locale: Locale<InboxTexts>, host: Host, inbox: Inbox | undefined): Contents {
  locale.complete(english);
  const text = locale.text.bind(locale);
  const times = makeTimes(locale.tag);
  const menu = makeMenu();
  let toastTimer: unknown;

  const link = (name: keyof InboxTexts, onclick: () => void): HTMLElement => h("button", { class: "link", onclick }, text(name));

  const toast = part("div", "toast", { role: "status" });

  const hush = (): void => {
    clearTimeout(toastTimer as number);
    const hadFocus = toast.matches(":focus-within");
    toast.replaceChildren();
    if (hadFocus) list.focus();
  };

  const say = (words: string, ...more: Child[]): void => {
    hush();
    toast.append(h("div", { class: "toasted" }, h("span", { class: "grow" }, words), ...more));
    toastTimer = setTimeout(hush, TOAST_FOR);
  };

  const offerUndo = (words: string, undo: () => unknown): void => {
    const onclick = (): void => {
      undo();
      hush();
    };
    say(words, link("undo", onclick));
  };

  const list = makeList(locale, times, {
    loadMore: () => inbox?.loadMore(),
    retry: () => (inbox?.state.messages.length ? inbox.loadMore() : inbox?.reload()),
    open: (message) => {
      void inbox?.setRead(message);
      return host.tell("notification-open", message);
    },
    act: (message, action) => {
      void inbox?.setRead(message);
      return host.tell("notification-action", { message, action });
    },
    toggleRead: (message) => void inbox?.setRead(message, !message.read_at),
    toggleArchived: (message) => {
      if (message.archived_at) return void inbox?.setArchived(message, false);
      if (message.snoozed_until) return void inbox?.snooze(message, null);
      void inbox?.setArchived(message);
      offerUndo(text("archivedNow"), () => inbox?.setArchived(message, false));
    },
    snooze: (message, button) => {
      const { snoozed_until } = message;
      const choices = snoozeMoments().map(([name, moment]) => ({
        label: name === "later" ? text("laterToday") : times.next(name),
        detail: times.soon(moment),
        act: () => {
          void inbox?.snooze(message, moment);
          const undo = (): unknown => inbox?.snooze(message, snoozed_until ? new Date(snoozed_until) : null);
          offerUndo(`${text("snoozedUntil")} ${times.soon(moment)}`, undo);
        },
      }));
      menu.open(button, choices);
    },
    delete: (message, button) =>
      menu.open(button, [{ label: text("reallyDelete"), isFinal: true, act: () => void inbox?.delete(message) }]),
  });
  list.element.addEventListener("scroll", () => menu.element.hidePopover());

  const trouble = part("div", "offline", { role: "status", hidden: true });
  const tabCount = h("span", { class: "count" });
  const tabs = VIEWS.map((view) => {
    const onclick = (): void => {
      inbox?.show(view);
      list.restart();
    };
    const attributes = { role: "tab", id: `view-${view}`, "aria-controls": "messages", onclick };
    return part("button", "tab", attributes, text(view), view === "unread" && tabCount);
  });
  const onTabKey = (event: KeyboardEvent): void => {
    if (event.key === "ArrowDown") list.focus();
    const isRtl = getComputedStyle(list.element).direction === "rtl";
    walk(event, tabs, isRtl ? ["ArrowRight", "ArrowLeft"] : ["ArrowLeft", "ArrowRight"]);
  };

  const markAll = tool("mark-all-read", text("markAllRead"), CHECKS, () => void inbox?.markAllRead());
  const mute = tool("mute", text("mute"), SPEAKER, host.toggleMute);
  const tablist = part("div", "tabs", { role: "tablist", "aria-label": text("title"), onkeydown: onTabKey }, ...tabs);
  const clock = setInterval(list.tick, TICK);

  return {
    buttons: [markAll, mute],
    parts: [tablist, trouble, list.element, toast, menu.element],
    end() {
      clearInterval(clock);
      clearTimeout(toastTimer as number);
      list.end();
    },
    show(state) {
      const { unread = 0, view } = state;
      tabCount.textContent = counted(unread, locale);
      tabCount.hidden = !unread;
      markAll.disabled = !unread;
      tabs.forEach((tab, index) => {
        setAttribute(tab, "aria-selected", `${VIEWS[index] === view}`);
        tab.tabIndex = VIEWS[index] === view ? 0 : -1;
      });
      list.update(state);
    },
    showMuted(muted) {
      label(mute, text(muted ? "unmute" : "mute"), muted ? SPEAKER_OFF : SPEAKER);
    },
    showTrouble(name) {
      trouble.hidden = !name;
      const isFinal = name === "refused" || name === "unauthenticated";
      trouble.replaceChildren(
        h("i", { class: isFinal ? "pulse still" : "pulse" }),
        h("span", { class: "grow" }, name && text(name)),
        isFinal ? link("retry", () => inbox?.client.start()) : "",
      );
    },
    say,
    hush,
    tick: list.tick,
    focus: list.focus,
  };
}
