import { Api, ChatClient, type TokenSource } from "../client/index.js";
import { applyStyles, theme } from "../ui/dom.js";
import css from "./chat.css";
import { ListView } from "./list.js";
import { arrange, h, ICONS, notice, setAttribute, setText, type Context } from "./parts.js";
import { ChatLocale, type ChatTexts } from "./texts.js";
import { ThreadView } from "./thread.js";

/** Nobody is told of a connection that is back before so many milliseconds. */
const PATIENCE = 1_200;

/** Where there is no DOM the module can still be loaded: nothing is defined then. */
const Base = (typeof HTMLElement === "undefined" ? class {} : HTMLElement) as typeof HTMLElement;

/**
 * `<notification-chat>`: conversations, and the messages of one.
 *
 * Give it a `client`, or `tenant-id`, `base-url` and a `token` (an attribute, or a property that may be a function).
 * `conversation` opens one; `theme` is `light` or `dark`, else what the system says; `lang` and `texts` translate.
 * Colours: the custom properties `--notify-…`. It tells of itself by the events `notification-chat-open` (its detail:
 * `{conversation}`), `notification-chat-message` (`{message}`, of somebody else) and `notification-chat-unread`
 * (`{unread}`).
 */
export class NotificationChat extends Base {
  static readonly tagName = "notification-chat";
  static readonly observedAttributes = ["base-url", "token", "tenant-id", "conversation", "lang"];
  readonly #root = this.attachShadow({ mode: "open" });
  readonly #banner = h("p", { class: "banner", role: "status", hidden: true });
  readonly #panes = h("div", { class: "panes" });
  readonly #nothing = h("div", { class: "nothing" });
  #client: ChatClient | undefined;
  #isOwnClient = false;
  #token: TokenSource | undefined;
  #texts: Partial<ChatTexts> = {};
  #context: Context | undefined;
  #list: ListView | undefined;
  #thread: ThreadView | undefined;
  #ends: (() => void)[] = [];
  #isDrawing = false;
  #unread = 0;
  #bannerTimer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    applyStyles(this.#root, theme, css);
    this.#root.append(this.#banner, this.#panes);
    this.#panes.addEventListener("dragover", (event) => event.preventDefault());
    this.#panes.addEventListener("drop", (event) => {
      event.preventDefault();
      this.#thread?.attach(event.dataTransfer?.files[0]);
    });
  }

  /** Whose chat it shows. One that is given is started, and not stopped. */
  get client(): ChatClient | undefined {
    return this.#client;
  }

  set client(client: ChatClient | undefined) {
    this.#disconnect();
    [this.#client, this.#isOwnClient] = [client, false];
    if (this.isConnected) this.#connect();
  }

  /** A token, or a function that gives one: see `TokenSource`. */
  get token(): TokenSource | undefined {
    return this.#token ?? this.getAttribute("token") ?? undefined;
  }

  set token(token: TokenSource | undefined) {
    this.#token = token;
    this.#restart();
  }

  /** Texts of yours, in the place of ours. */
  set texts(texts: Partial<ChatTexts>) {
    this.#texts = texts;
    this.#rebuild();
  }

  /** The conversation that is shown. */
  get conversation(): string | undefined {
    return this.#thread?.id;
  }

  set conversation(id: string | undefined) {
    this.#show(id, false);
  }

  connectedCallback(): void {
    for (const name of ["client", "token", "texts", "conversation"] as const) this.#upgrade(name);
    this.#connect();
  }

  disconnectedCallback(): void {
    queueMicrotask(() => {
      if (!this.isConnected) this.#disconnect(); // else it was only moved
    });
  }

  /** A property that was set before the element was defined hides our accessors: set it again through them. */
  #upgrade(name: "client" | "token" | "texts" | "conversation"): void {
    const set = Object.getOwnPropertyDescriptor(this, name);
    if (!set) return;
    delete (this as Record<string, unknown>)[name];
    Object.assign(this, { [name]: set.value as unknown });
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after || !this.isConnected) return;
    if (name === "conversation") this.#show(after ?? undefined, false);
    else if (name === "lang") this.#rebuild();
    else this.#restart();
  }

  // --- Life -----------------------------------------------------------------------------------------------------------

  #connect(): void {
    if (this.#context) return;
    if (!this.#client && !(this.#client = this.#make())) return;
    const client = this.#client;
    this.#ends = [
      client.on("status", () => this.#renderBanner()),
      client.on("conversations", () => this.#draw()),
      client.on("conversation", () => this.#draw()),
      client.on("message", (message) => {
        if (message.conversation_id === this.#thread?.id) this.#thread.announce(message);
        this.#tell("message", { message });
      }),
    ];
    const online = (): void => this.#renderBanner();
    for (const name of ["online", "offline"]) {
      window.addEventListener(name, online);
      this.#ends.push(() => window.removeEventListener(name, online));
    }
    this.#rebuild();
    client.start();
  }

  #make(): ChatClient | undefined {
    const [token, tenantId] = [this.token, this.getAttribute("tenant-id")];
    if (token === undefined || !tenantId) return undefined;
    this.#isOwnClient = true;
    return new ChatClient({ api: new Api({ baseUrl: this.getAttribute("base-url") ?? "", token }), tenantId });
  }

  #disconnect(): void {
    for (const end of this.#ends) end();
    this.#ends = [];
    clearTimeout(this.#bannerTimer);
    this.#thread?.close();
    if (this.#isOwnClient) {
      this.#client?.stop();
      this.#client = undefined;
    }
    [this.#thread, this.#list, this.#context] = [undefined, undefined, undefined];
    this.#panes.replaceChildren();
  }

  #restart(): void {
    if (!this.isConnected || (this.#client && !this.#isOwnClient)) return;
    this.#disconnect();
    this.#connect();
  }

  /** Draw everything anew: another language. */
  #rebuild(): void {
    if (!this.#client) return;
    const lang = this.getAttribute("lang") || this.closest("[lang]")?.getAttribute("lang") || navigator.language;
    this.#context = { client: this.#client, locale: new ChatLocale(lang, this.#texts) };
    const shown = this.#thread?.id ?? this.getAttribute("conversation") ?? undefined;
    this.#thread?.close();
    this.#thread = undefined;
    this.#list = new ListView(
      () => this.#context,
      (id) => this.#show(id, true),
      () => void this.#client?.loadConversations().catch(() => undefined),
    );
    this.#nothing.replaceChildren(notice(ICONS.chat, this.#context.locale.text("pick")));
    this.#show(shown, false);
    this.#renderBanner();
  }

  // --- Drawing --------------------------------------------------------------------------------------------------------

  #show(id: string | undefined, takeFocus: boolean): void {
    const { client } = this.#context ?? {};
    if (!client || !this.#context) return;
    const before = this.#thread?.id;
    if (id !== before || !id) {
      this.#thread?.close();
      this.#thread = id ? new ThreadView(this.#context, id, () => this.#show(undefined, true)) : undefined;
    }
    arrange(this.#panes, [this.#list?.element, this.#thread?.element ?? this.#nothing].filter((each) => !!each));
    setAttribute(this.#panes, "data-shown", this.#thread ? "thread" : "list");
    this.#render();
    if (this.#thread && id !== before) {
      void this.#thread.open();
      this.#tell("open", { conversation: id });
    }
    if (!takeFocus) return;
    if (this.#thread) this.#thread.focus();
    else this.#list?.focus(before);
  }

  /** However much has changed, draw it once. */
  #draw(): void {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    queueMicrotask(() => {
      this.#isDrawing = false;
      this.#render();
    });
  }

  #render(): void {
    const client = this.#client;
    if (!client || !this.#context) return;
    this.#list?.render(this.#thread?.id);
    this.#thread?.render();
    const unread = client.conversations.reduce((sum, each) => sum + (each.muted ? 0 : (each.unread_count ?? 0)), 0);
    if (unread === this.#unread) return;
    this.#unread = unread;
    this.#tell("unread", { unread });
  }

  #renderBanner(): void {
    const { client, locale } = this.#context ?? {};
    if (!client || !locale) return;
    clearTimeout(this.#bannerTimer);
    const say = (text: string, kind: string): void => {
      setText(this.#banner, text);
      this.#banner.dataset["kind"] = kind;
      setAttribute(this.#banner, "hidden", !text);
    };
    const { status } = client;
    if (status === "unauthenticated") say(locale.text("unauthenticated"), "bad");
    else if (status === "refused") say(`${locale.text("refused")} ${client.reason}`, "bad");
    else if (navigator.onLine === false) say(locale.text("isOffline"), "wait");
    else if (status === "open") say("", "");
    else this.#bannerTimer = setTimeout(() => say(locale.text("reconnecting"), "wait"), PATIENCE);
  }

  #tell(name: string, detail: object): void {
    this.dispatchEvent(new CustomEvent(`notification-chat-${name}`, { detail, bubbles: true, composed: true }));
  }
}
