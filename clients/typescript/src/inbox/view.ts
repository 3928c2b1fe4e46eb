import type { InboxState } from "../client/inbox.js";
import type { Message } from "../client/types.js";
import { h, icon, setAttribute } from "../ui/dom.js";
import type { Locale } from "../ui/locale.js";
import type { Contents, Trouble } from "./contents.js";
import { BELL, CROSS } from "./icons.js";
import { counted, errorNotice, loadingNotice, part, tool } from "./parts.js";
import { keepFocus, showAt } from "./popover.js";
import type { InboxTexts } from "./texts.js";

export interface ViewVerbs {
  /** Open or close the panel. */
  setOpen(open: boolean): void;
  /** The contents are wanted now. `fill` or `showPending("error")` follows. */
  loadContents(): void;
}

/** Pixels that the panel wants below the bell. */
const LEAST_HEIGHT = 340;

/** What the inbox looks like at once: the bell, and a panel with a heading. The panel's contents come later. */
export interface InboxView {
  readonly element: HTMLElement;
  readonly isFilled: boolean;
  /** Fill the panel. Who waits in it for its contents is led to them. */
  fill(contents: Contents): void;
  /** Show that the contents are on their way, or that they could not be loaded. */
  showPending(notice: "loading" | "error"): void;
  end(): void;
  show(state: InboxState): void;
  /** Open the panel, near the bell and with the focus in it, or close it. */
  showOpen(open: boolean): void;
  showMuted(muted: boolean): void;
  /** Say what is wrong with the connection; nothing if all is well. */
  showTrouble(trouble: Trouble): void;
  /** Say something for a moment to who has the panel open. */
  say(name: keyof InboxTexts): void;
  /** Tell those who can not see it, and ring the bell for those who can. */
  announce(message: Message): void;
}

export function makeView(locale: Locale<InboxTexts>, verbs: ViewVerbs): InboxView {
  const text = locale.text.bind(locale);
  const ended = new AbortController();
  let contents: Contents | undefined;
  let state: InboxState | undefined;
  let trouble: Trouble = "";
  let isMuted = false;
  let before = 0;

  const badge = part("span", "badge", { "aria-hidden": "true" });
  const heading = part("h2", "title", { id: "title" }, text("title"));
  /** Stands for the contents until they are there. */
  const pending = h("div");
  const panel = part(
    "div",
    "panel",
    {
      popover: "auto",
      role: "dialog",
      "aria-modal": "true",
      "aria-labelledby": "title",
      tabindex: -1,
      onkeydown: (event: KeyboardEvent) => keepFocus(event, panel),
      onbeforetoggle: ({ newState }: ToggleEvent) => {
        if (newState === "closed" && panel.matches(":focus-within")) bell.focus({ preventScroll: true });
      },
      ontoggle: ({ newState }: ToggleEvent) => newState === "closed" && verbs.setOpen(false),
    },
    part("div", "header", {}, heading, tool("close", text("close"), CROSS, () => verbs.setOpen(false))),
    pending,
  );
  const isOpen = (): boolean => panel.matches(":popover-open");

  const onclick = (event: Event): void => {
    event.preventDefault(); // the browser would open it without telling where
    verbs.setOpen(!isOpen());
  };
  const bell = part("button", "bell", { "aria-haspopup": "dialog", onclick }, h("slot", { name: "bell" }, icon(BELL)), badge);
  bell.popoverTargetElement = panel; // so that a press on it does not count as one elsewhere
  const [polite, urgent] = ["polite", "assertive"].map((live) => h("div", { class: "only-heard", "aria-live": live }));
  const element = h("div", { class: "inbox", lang: locale.tag }, bell, polite, urgent, panel);

  const place = (): void => {
    if (isOpen()) showAt(bell, panel, LEAST_HEIGHT);
  };
  for (const name of ["resize", "scroll"]) addEventListener(name, place, { capture: true, passive: true, signal: ended.signal });

  const focus = (): void => (contents ? contents.focus() : panel.focus({ preventScroll: true }));

  const showCount = (unread: number): void => {
    badge.textContent = counted(unread, locale);
    badge.hidden = !unread;
    badge.classList.toggle("grew", unread > before);
    before = unread;
    setAttribute(bell, "aria-label", text(unread ? "bell" : "title", unread));
  };

  const load = (): void => {
    view.showPending("loading");
    verbs.loadContents();
  };

  const view: InboxView = {
    element,
    get isFilled() {
      return contents !== undefined;
    },
    fill(loaded) {
      const waits = panel.matches(":focus-within");
      contents = loaded;
      heading.after(...loaded.buttons);
      pending.replaceWith(...loaded.parts);
      if (state) loaded.show(state);
      loaded.showMuted(isMuted);
      loaded.showTrouble(trouble);
      if (waits) focus();
    },
    showPending(notice) {
      const retry = (): void => {
        panel.focus(); // the button goes
        load();
      };
      pending.replaceChildren(...(notice === "loading" ? loadingNotice(locale) : [errorNotice(locale, retry)]));
    },
    end() {
      ended.abort();
      contents?.end();
      element.remove();
    },
    show(next) {
      state = next;
      showCount(next.unread ?? 0);
      contents?.show(next);
    },
    showOpen(open) {
      setAttribute(bell, "aria-expanded", `${open}`);
      if (!open) {
        contents?.hush();
        panel.hidePopover();
      } else if (!isOpen()) {
        if (contents) contents.tick();
        else load();
        showAt(bell, panel, LEAST_HEIGHT);
        focus();
      }
    },
    showMuted(muted) {
      isMuted = muted;
      contents?.showMuted(muted);
    },
    showTrouble(next) {
      trouble = next;
      contents?.showTrouble(next);
    },
    say(name) {
      contents?.say(text(name));
    },
    announce({ priority, title, body }) {
      (priority === "urgent" ? urgent : polite)!.textContent = `${text("isNew")}: ${title || body}`;
      bell.classList.remove("rings");
      void bell.offsetWidth; // begin the animation anew
      bell.classList.add("rings");
    },
  };
  showCount(0);
  return view;
}
