import type { TokenSource } from "../client/api.js";
import { Inbox } from "../client/inbox.js";
import { NotificationClient, type StatusEvent } from "../client/notifications.js";
import type { MessageFrame } from "../client/types.js";
import { applyStyles, theme } from "../ui/dom.js";
import { later, whenIdle } from "../ui/later.js";
import { Locale } from "../ui/locale.js";
import css from "./inbox.css";
import { listenForGesture, makePlayer, onMuteElsewhere, storeMute, storedMute } from "./sound.js";
import { textsFor, type InboxTexts } from "./texts.js";
import { makeView, type InboxView } from "./view.js";

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

  /** A client of the page's own; the inbox then neither makes nor stops one. */
  get client(): NotificationClient | undefined {
    return this.#client;
  }
  set client(client: NotificationClient | undefined) {
    this.#letGo();
    this.#client = client;
    void this.#restart();
  }

  /** A bearer token, or a function that gives one. */
  get token(): TokenSource | undefined {
    return this.#token;
  }
  set token(token: TokenSource | undefined) {
    this.#token = token;
    if (this.#ownsClient && token) void this.#client?.setToken(token);
    else void this.#restart();
  }

  /** Texts of the page's own, in the place of ours. */
  get texts(): Partial<InboxTexts> {
    return this.#texts;
  }
  set texts(texts: Partial<InboxTexts>) {
    this.#texts = texts;
    void this.#restart();
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
    void this.#restart();
  }

  disconnectedCallback(): void {
    queueMicrotask(() => {
      if (this.isConnected) return; // it was only moved
      this.#end();
      this.#letGo();
    });
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (before === now) return;
    if (name === "token") this.token = now ?? undefined;
    else if (name === "open") this.#showOpen();
    else if (name === "muted") this.#view?.showMuted(this.muted);
    else {
      if (name === "base-url") this.#letGo();
      void this.#restart();
    }
  }

  /** A property that was set before the element was defined hides our accessors: set it again through them. */
  #upgrade(name: "client" | "token" | "texts" | "muted" | "open"): void {
    if (!Object.hasOwn(this, name)) return;
    const value = this[name];
    delete (this as Partial<this>)[name];
    Object.assign(this, { [name]: value });
  }

  /** Stop the client, if it is ours. */
  #letGo(): void {
    if (!this.#ownsClient) return;
    this.#client?.stop();
    this.#client = undefined;
    this.#ownsClient = false;
  }

  #end(): void {
    this.#run++;
    for (const end of this.#ends.splice(0)) end();
    this.#endPatience();
    this.#inbox?.end();
    this.#view?.end();
    this.#inbox = this.#view = undefined;
  }

  /** Build everything anew: another client, another language. Nothing is shown in a language that is not wanted. */
  async #restart(): Promise<void> {
    if (!this.isConnected) return;
    this.#end();
    const run = this.#run;
    const client = this.#clientInUse();
    const nearest = this.closest<HTMLElement>("[lang]") ?? document.documentElement;
    const tag = this.lang || nearest.lang || navigator.language;
    const texts = await textsFor(tag);
    if (run === this.#run) this.#build(client, new Locale<InboxTexts>(tag, { ...texts, ...this.#texts }));
  }

  #build(client: NotificationClient | undefined, locale: Locale<InboxTexts>): void {
    const inbox = client && new Inbox(client, { pageSize: Number(this.getAttribute("page-size")) || 20 });
    const fill = (): void => void this.#fill(view, locale, inbox);
    const view = makeView(locale, { setOpen: (open) => (this.open = open), loadContents: fill });
    this.#view = view;
    this.#inbox = inbox;
    this.shadowRoot?.append(view.element);
    view.showMuted(this.muted);
    this.#ends.push(onMuteElsewhere(() => ((this.#muted = undefined), view.showMuted(this.muted))));
    if (client && inbox) this.#follow(client, inbox, view);
    this.#showOpen();
    if (!this.open) whenIdle(fill);
  }

  /** Fill the panel, or say in it that this did not work. */
  async #fill(view: InboxView, locale: Locale<InboxTexts>, inbox: Inbox | undefined): Promise<void> {
    const loaded = await contentsModule().catch(() => undefined);
    if (view !== this.#view || view.isFilled || !this.shadowRoot) return;
    if (!loaded) return view.showPending("error");
    if (!this.#hasAllStyles) applyStyles(this.shadowRoot, loaded.css);
    this.#hasAllStyles = true;
    const host = { toggleMute: () => (this.muted = !this.muted), tell: this.#tell.bind(this) };
    view.fill(loaded.makeContents(locale, host, inbox));
  }

  #showOpen(): void {
    if (this.open) this.#inbox?.open();
    this.#view?.showOpen(this.open);
  }

  #follow(client: NotificationClient, inbox: Inbox, view: InboxView): void {
    const play = makePlayer((name) => client.sound(name));
    let isDrawing = false;
    const draw = (): void => {
      if (isDrawing) return;
      isDrawing = true;
      queueMicrotask(() => {
        isDrawing = false;
        if (this.#inbox === inbox) view.show(inbox.state);
      });
    };
    this.#ends.push(
      inbox.on("change", draw),
      inbox.on("failed", () => view.say("notSaved")),
      client.on("status", (event) => this.#statusIs(event)),
      client.on("unread", (unread) => this.#tell("notification-unread", { unread })),
      client.on("message", (message) => this.#arrived(message, play)),
    );
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
    view?.showTrouble(status === "unauthenticated" || status === "refused" ? status : "");
  }

  #endPatience(): void {
    clearTimeout(this.#patience as number);
    this.#patience = undefined;
  }

  #arrived(message: MessageFrame, play: ReturnType<typeof makePlayer>): void {
    this.#tell("notification-message", message);
    if (message.replay || message.read_at) return;
    this.#view?.announce(message);
    if (this.muted) return;
    const { id, sound } = message;
    void play(id, sound).then((played) => played && this.#tell("notification-sound", { id, sound }));
  }

  /** Dispatch an event. False if somebody has prevented what would follow. */
  #tell(name: string, detail: unknown): boolean {
    return this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable: true }));
  }
}
