import type { TokenSource } from "../client/api.js";
import { Inbox } from "../client/inbox.js";
import { NotificationClient, type StatusEvent } from "../client/notifications.js";
import type { MessageFrame } from "../client/types.js";
import { applyStyles, theme } from "../ui/dom.js";
import { later, whenIdle } from "../ui/later.js";
import { Locale } from "../ui/locale.js";
import css from "./inbox.css";
import { Popover } from "./panel.js";
import { Sounds, listenForGesture, onMuteElsewhere, storeMute, storedMute } from "./sound.js";
import { languagesFor, type InboxTexts } from "./texts.js";
import { InboxView } from "./view.js";

const contentsModule = later(() => import("./contents.js"));

/** How long a connection may be gone before it is worth a word. Milliseconds. */
const PATIENCE = 3_000;

/** Where there is no DOM the module can still be loaded: nothing is defined then. */
const Base = (typeof HTMLElement === "undefined" ? class {} : HTMLElement) as typeof HTMLElement;

/** The inbox: a bell with a count, and a panel with the messages. README.md lists attributes, events and styles. */
export class NotificationInbox extends Base {
  static readonly observedAttributes = ["base-url", "token", "lang", "muted", "open"];
  static readonly tagName = "notification-inbox";

  #client: NotificationClient | undefined;
  #ownsClient = false;
  #token: TokenSource | undefined;
  #texts: Partial<InboxTexts> = {};
  #inbox: Inbox | undefined;
  #view: InboxView | undefined;
  #popover: Popover | undefined;
  #sounds: Sounds | undefined;
  #muted: boolean | undefined;
  #hasAllStyles = false;
  /** Grows whenever we begin anew, so that what was on its way before is recognised. */
  #run = 0;
  #ends: (() => void)[] = [];
  #patience: unknown;

  constructor() {
    super();
    applyStyles(this.attachShadow({ mode: "open" }), theme, css);
  }

  /** A client of the page's own; the inbox then neither makes, starts nor stops one. */
  get client(): NotificationClient | undefined {
    return this.#client;
  }
  set client(client: NotificationClient | undefined) {
    if (this.#ownsClient) this.#client?.stop();
    this.#client = client;
    this.#ownsClient = false;
    this.#restart();
  }

  /** A bearer token, or a function that gives one. */
  get token(): TokenSource | undefined {
    return this.#token;
  }
  set token(token: TokenSource | undefined) {
    this.#token = token;
    if (this.#ownsClient && this.#client && token) void this.#client.setToken(token);
    else this.#restart();
  }

  /** Texts of the page's own, in the place of ours. */
  get texts(): Partial<InboxTexts> {
    return this.#texts;
  }
  set texts(texts: Partial<InboxTexts>) {
    this.#texts = texts;
    this.#restart();
  }

  /** Whether sounds are off. What the person has chosen is kept; before that the attribute decides. */
  get muted(): boolean {
    return this.#muted ?? storedMute() ?? this.hasAttribute("muted");
  }
  set muted(muted: boolean) {
    this.#muted = muted;
    storeMute(muted);
    this.#view?.showMuted(muted);
  }

  get open(): boolean {
    return this.hasAttribute("open");
  }
  set open(open: boolean) {
    this.toggleAttribute("open", open);
  }

  connectedCallback(): void {
    for (const name of ["client", "token", "texts", "muted", "open"] as const) this.#upgrade(name);
    listenForGesture();
    this.#restart();
  }

  disconnectedCallback(): void {
    queueMicrotask(() => {
      if (this.isConnected) return; // it was only moved
      this.#end();
      if (this.#ownsClient) {
        this.#client?.stop();
        this.#client = undefined;
      }
    });
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (before === now) return;
    if (name === "token") this.token = now ?? undefined;
    else if (name === "open") this.#showOpen(now !== null);
    else if (name === "muted") this.#view?.showMuted(this.muted);
    else {
      if (name === "base-url" && this.#ownsClient) this.client = undefined;
      this.#restart();
    }
  }

  /** A property that was set before the element was defined hides our accessors: set it again through them. */
  #upgrade(name: "client" | "token" | "texts" | "muted" | "open"): void {
    if (!Object.prototype.hasOwnProperty.call(this, name)) return;
    const value = this[name];
    delete (this as Partial<this>)[name];
    Object.assign(this, { [name]: value });
  }

  #end(): void {
    this.#run++;
    for (const end of this.#ends.splice(0)) end();
    this.#endPatience();
    this.#popover?.close();
    this.#inbox?.end();
    this.#view?.end();
    this.#inbox = this.#view = this.#popover = undefined;
  }

  /** Build everything anew: another client, another language. Nothing is shown in a language that is not wanted. */
  #restart(): void {
    if (!this.isConnected || !this.shadowRoot) return;
    this.#end();
    const run = this.#run;
    const client = this.#clientInUse();
    const tag = this.#language();
    const build = (languages: Awaited<ReturnType<typeof languagesFor>>): void => {
      if (run === this.#run) this.#build(client, new Locale<InboxTexts>(tag, languages, this.#texts));
    };
    const languages = languagesFor(tag);
    if (languages instanceof Promise) void languages.then(build);
    else build(languages);
  }

  #build(client: NotificationClient | undefined, locale: Locale<InboxTexts>): void {
    const inbox = client && new Inbox(client, { pageSize: Number(this.getAttribute("page-size")) || 20 });
    const view = new InboxView(locale, {
      toggle: () => (this.open = !this.open),
      close: () => (this.open = false),
      loadContents: () => void this.#fill(view, locale, inbox),
    });
    this.#view = view;
    this.#inbox = inbox;
    this.shadowRoot?.append(view.element);
    this.#popover = new Popover(view.panel, view.bell, (byKeyboard) => {
      this.open = false;
      if (byKeyboard) view.bell.focus();
    });
    view.showMuted(this.muted);
    if (client && inbox) this.#follow(client, inbox, view);
    if (this.open) this.#showOpen(true);
    else whenIdle(() => void this.#fill(view, locale, inbox));
  }

  /** Fill the panel, or say in it that this did not work. */
  async #fill(view: InboxView, locale: Locale<InboxTexts>, inbox: Inbox | undefined): Promise<void> {
    const loaded = await contentsModule().catch(() => undefined);
    if (view !== this.#view || view.isFilled || !this.shadowRoot) return;
    if (!loaded) return view.showPending("error");
    if (!this.#hasAllStyles) applyStyles(this.shadowRoot, loaded.Contents.css);
    this.#hasAllStyles = true;
    const host = { toggleMute: () => (this.muted = !this.muted), tell: this.#tell.bind(this) };
    view.fill(new loaded.Contents(locale, host, inbox));
  }

  #follow(client: NotificationClient, inbox: Inbox, view: InboxView): void {
    this.#sounds = new Sounds((name) => client.sound(name));
    let isDrawing = false;
    const draw = (): void => {
      if (isDrawing) return;
      isDrawing = true;
      queueMicrotask(() => {
        isDrawing = false;
        if (this.#inbox === inbox) view.show(inbox.state);
      });
    };
    this.#ends = [
      onMuteElsewhere(() => ((this.#muted = undefined), view.showMuted(this.muted))),
      inbox.on("change", draw),
      inbox.on("failed", () => view.say("notSaved")),
      client.on("status", (event) => this.#statusIs(event)),
      client.on("unread", (unread) => this.#tell("notification-unread", { unread })),
      client.on("message", (message) => this.#arrived(message)),
    ];
    view.show(inbox.state);
    client.start();
    this.#statusIs({ status: client.status, reason: "" });
  }

  #clientInUse(): NotificationClient | undefined {
    if (this.#client || !this.#token) return this.#client;
    this.#ownsClient = true;
    return (this.#client = new NotificationClient({
      token: this.#token,
      baseUrl: this.getAttribute("base-url") ?? undefined,
    }));
  }

  #language(): string {
    const nearest = this.closest<HTMLElement>("[lang]") ?? document.documentElement;
    return this.lang || nearest.lang || navigator.language || "en";
  }

  #showOpen(open: boolean): void {
    const [view, popover] = [this.#view, this.#popover];
    if (!view || !popover || open === popover.isOpen) return;
    view.showOpen(open);
    if (open) {
      this.#inbox?.open();
      popover.open();
      view.focus();
    } else {
      const hadFocus = this.shadowRoot?.activeElement;
      popover.close();
      if (hadFocus) view.bell.focus({ preventScroll: true });
    }
  }

  /** Say what is wrong with the connection, once it has been wrong for a while. */
  #statusIs(event: StatusEvent): void {
    this.#tell("notification-status", event);
    const { status } = event;
    const view = this.#view;
    if (status === "connecting" || status === "waiting") {
      this.#patience ??= setTimeout(() => view?.showTrouble(navigator.onLine ? "reconnecting" : "offline"), PATIENCE);
      return;
    }
    this.#endPatience();
    view?.showTrouble(status === "refused" || status === "unauthenticated" ? status : "");
  }

  #endPatience(): void {
    clearTimeout(this.#patience as number);
    this.#patience = undefined;
  }

  #arrived(message: MessageFrame): void {
    this.#tell("notification-message", message);
    if (message.replay || message.read_at) return;
    this.#view?.announce(message);
    if (this.muted) return;
    void this.#sounds?.play(message.id, message.sound).then((played) => {
      if (played) this.#tell("notification-sound", { id: message.id, sound: message.sound });
    });
  }

  /** Dispatch an event. False if somebody has prevented what would follow. */
  #tell(name: string, detail: unknown): boolean {
    return this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable: true }));
  }
}
