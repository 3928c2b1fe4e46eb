import { ApiError } from "./api.js";
import { Emitter } from "./emitter.js";
import type { NotificationClient } from "./notifications.js";
import type { Message, StreamFrame } from "./types.js";

/** `all` is what is neither archived nor snoozed. */
export type View = "all" | "unread" | "snoozed" | "archived";

export interface InboxState {
  readonly view: View;
  /** Of the view, the newest first, as far as loaded. */
  readonly messages: readonly Message[];
  /** Undefined until it is known. */
  readonly unread: number | undefined;
  /** `first`: there is nothing to show yet. */
  readonly loading: "no" | "first" | "more";
  /** Why loading failed. */
  readonly error: ApiError | undefined;
  readonly hasMore: boolean;
}

interface InboxEvents {
  /** A new state. */
  change: InboxState;
  /** A change of one's own could not be made. */
  failed: ApiError;
}

/**
 * The list of messages, kept as the service has it: pages are loaded on demand, every change that arrives is applied,
 * one's own changes show at once and are taken back if they fail. Looks are somebody else's business.
 */
export class Inbox {
  readonly client: NotificationClient;
  readonly #pageSize: number;
  readonly #emitter = new Emitter<InboxEvents>();
  readonly #ends: (() => void)[];
  /** All that we know of, also what has left the view: it may come back. */
  readonly #known = new Map<string, Message>();
  #view: View = "all";
  #isWanted = false;
  #cursor: string | undefined;
  #loading: InboxState["loading"] = "first";
  #error: ApiError | undefined;
  #request: AbortController | undefined;
  /** What came while a page was on its way, which may or may not show it. */
  #meanwhile: StreamFrame[] = [];

  constructor(client: NotificationClient, { pageSize = 20 } = {}) {
    this.client = client;
    this.#pageSize = pageSize;
    this.#ends = [
      client.on("unread", () => this.#changed()),
      client.on("status", ({ status }) => {
        if (status === "waiting" && client.unread === undefined) this.#count();
      }),
      client.on("reload", () => {
        if (this.#isWanted) this.reload();
      }),
      client.on("change", (frame) => {
        if (!this.#isWanted) return;
        if (this.#request) this.#meanwhile.push(frame);
        this.#apply(frame);
        this.#changed();
      }),
    ];
  }

  on<Name extends keyof InboxEvents>(name: Name, listener: (event: InboxEvents[Name]) => void): () => void {
    return this.#emitter.on(name, listener);
  }

  get state(): InboxState {
    return {
      view: this.#view,
      messages: this.#messages(),
      unread: this.client.unread,
      loading: this.#loading,
      error: this.#error,
      hasMore: this.#cursor !== undefined,
    };
  }

  /** Stop listening and loading. */
  end(): void {
    for (const end of this.#ends.splice(0)) end();
    this.#request?.abort();
  }

  show(view: View): void {
    if (view === this.#view) return;
    this.#view = view;
    this.#known.clear();
    this.reload();
  }

  /** Have the list from now on. While it is live it is right already, else it is loaded anew. */
  open(): void {
    if (this.client.status === "open" && this.#isWanted && !this.#error) return;
    this.reload();
    if (this.client.status !== "open") this.#count();
  }

  /** Load the first page anew; what is shown stays until it is there. */
  reload(): void {
    this.#isWanted = true;
    this.#cursor = undefined;
    void this.#load(this.#known.size ? "no" : "first", undefined);
  }

  loadMore(): void {
    if (this.#request || this.#cursor === undefined) return;
    void this.#load("more", this.#cursor);
  }

  /** Mark a message as read or unread. */
  async setRead(message: Message, read = true): Promise<void> {
    if (!!message.read_at === read) return;
    const call = (): unknown => (read ? this.client.markRead(message.id) : this.client.markUnread(message.id));
    await this.#change([message], { read_at: read ? now() : null }, call);
  }

  async setArchived(message: Message, archived = true): Promise<void> {
    const call = (): unknown => (archived ? this.client.archive(message.id) : this.client.unarchive(message.id));
    await this.#change([message], { archived_at: archived ? now() : null }, call);
  }

  /** Hide a message until then; null brings it back now. */
  async snooze(message: Message, until: Date | null): Promise<void> {
    const call = (): unknown => this.client.snooze(message.id, until);
    await this.#change([message], { snoozed_until: until && until.toISOString() }, call);
  }

  async delete(message: Message): Promise<void> {
    await this.#change([message], undefined, () => this.client.delete(message.id));
  }

  async markAllRead(): Promise<void> {
    const unread = [...this.#known.values()].filter((message) => !message.read_at);
    await this.#change(unread, { read_at: now() }, () => this.client.markAllRead());
  }

  /**
   * Change messages, or let them go, at once and at the service; if that fails, take back what nothing else has
   * changed meanwhile. What it changed comes as frames; without a socket the count has to be fetched.
   */
  async #change(messages: readonly Message[], changes: Partial<Message> | undefined, call: () => unknown): Promise<void> {
    const changed = messages.map((message) => changes && { ...message, ...changes });
    messages.forEach(({ id }, index) => this.#put(id, changed[index]));
    this.#changed();
    try {
      await call();
      if (this.client.status !== "open") this.#count();
    } catch (error) {
      messages.forEach((message, index) => {
        if (this.#known.get(message.id) === changed[index]) this.#put(message.id, message);
      });
      this.#changed();
      this.#emitter.emit("failed", ApiError.from(error));
    }
  }

  #put(id: string, message: Message | undefined): void {
    if (message) this.#known.set(id, message);
    else this.#known.delete(id);
  }

  #count(): void {
    this.client.unreadCount().catch(() => undefined); // the list shows what is wrong
  }

  async #load(loading: InboxState["loading"], cursor: string | undefined): Promise<void> {
    this.#request?.abort();
    const request = (this.#request = new AbortController());
    const { signal } = request;
    this.#meanwhile = [];
    this.#loading = loading;
    this.#error = undefined;
    this.#changed();
    try {
      const status = this.#view === "all" ? undefined : this.#view;
      const page = await this.client.list({ status, cursor, pageSize: this.#pageSize, signal });
      if (signal.aborted) return;
      if (cursor === undefined) this.#known.clear();
      for (const message of page.items) this.#known.set(message.id, message);
      this.#cursor = page.next;
      this.#request = undefined;
      this.#meanwhile.forEach((frame) => this.#apply(frame));
      if (signal.aborted || this.#request) return; // one of them has begun another load
    } catch (error) {
      if (signal.aborted) return;
      this.#error = ApiError.from(error);
    }
    this.#loading = "no";
    this.#request = undefined;
    this.#changed();
  }

  /** Apply a change of the stream. Twice or late does no harm, as long as those after it come again, too. */
  #apply(frame: StreamFrame): void {
    switch (frame.type) {
      case "notification":
      case "broadcast":
        this.#known.set(frame.id, frame);
        break;
      case "read":
        this.#updateByIds(frame, { read_at: frame.read_at });
        break;
      case "updated":
        this.#updateByIds(frame, frame.changes);
        break;
      case "removed":
        for (const id of frame.all ? [...this.#known.keys()] : (frame.ids ?? [])) this.#known.delete(id);
    }
  }

  #updateByIds({ ids = [], all }: { ids?: readonly string[]; all?: boolean }, changes: Partial<Message>): void {
    this.#update(all ? [...this.#known.keys()] : ids, changes);
    const hasUnknown = all || ids.some((id) => !this.#known.has(id));
    if (hasUnknown && this.#mayEnter(changes) && !this.#request) this.reload();
  }

  /** Whether a change may bring messages into the view that we have never seen. */
  #mayEnter(changes: Partial<Message>): boolean {
    if (this.#view === "archived") return !!changes.archived_at;
    if (this.#view === "snoozed") return !!changes.snoozed_until;
    const isBack = changes.archived_at === null || changes.snoozed_until === null;
    return isBack || (this.#view === "unread" && changes.read_at === null);
  }

  #update(ids: readonly string[], changes: Partial<Message>): void {
    for (const id of ids) {
      const message = this.#known.get(id);
      if (message) this.#known.set(id, { ...message, ...changes });
    }
  }

  #messages(): Message[] {
    const shown = [...this.#known.values()].filter((message) => isIn(message, this.#view));
    return shown.sort((one, other) => (one.id < other.id ? 1 : -1)); // ids grow with time, and pages follow them
  }

  #changed(): void {
    // All that was loaded has left the view: what follows it may be there still.
    if (this.#cursor !== undefined && !this.#request && !this.#error && !this.#messages().length) return this.loadMore();
    this.#emitter.emit("change", this.state);
  }
}

function isIn({ archived_at, snoozed_until, read_at }: Message, view: View): boolean {
  if (view === "archived") return !!archived_at;
  if (view === "snoozed") return !!snoozed_until;
  return !archived_at && !snoozed_until && (view === "all" || !read_at);
}

function now(): string {
  return new Date().toISOString();
}
