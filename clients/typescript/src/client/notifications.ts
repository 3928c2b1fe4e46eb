import type { ApiOptions, TokenSource } from "./api.js";
import type { ConnectionStatus, Frame } from "./connection.js";
import { Emitter } from "./emitter.js";
import { NotificationApi } from "./rest.js";
import { shareConnection, type SharedConnection } from "./shared.js";
import { makeStream, type Stream } from "./stream.js";
import type {
  MessageFrame,
  Position,
  PresenceFrame,
  ProgressFrame,
  ReadFrame,
  RemovedFrame,
  StreamFrame,
  Topic,
  UpdatedFrame,
} from "./types.js";

export interface NotificationClientOptions extends ApiOptions {
  /**
   * Whether tabs share one socket (true). They do if their tokens have the same claims but for their times; a text
   * names who shares instead.
   */
  share?: boolean | string;
}

export interface StatusEvent {
  readonly status: ConnectionStatus;
  /** The service's reason: a code, a colon, words for people. Often empty. */
  readonly reason: string;
}

export interface NotificationEvents {
  status: StatusEvent;
  /** How many messages are unread. */
  unread: number;
  /** A new message, or one whose snooze is over; broadcasts, too. */
  message: MessageFrame;
  read: ReadFrame;
  updated: UpdatedFrame;
  removed: RemovedFrame;
  /** Each of the four above. */
  change: StreamFrame;
  /** The start, or too much was missed: load the list anew. */
  reload: void;
  progress: ProgressFrame;
  presence: PresenceFrame;
}

/**
 * One's own messages: over REST, and live. After `start()` every change arrives exactly once and in order, over
 * restarts of the service, sleep and lost networks, in every tab.
 *
 *     const client = new NotificationClient({ token: async ({ refresh }) => session.token(refresh) });
 *     client.on("message", (message) => console.log(message.title));
 *     client.start();
 */
export class NotificationClient extends NotificationApi {
  readonly #emitter = new Emitter<NotificationEvents>();
  readonly #connection: SharedConnection;
  readonly #stream: Stream;
  /** What is followed, once for each that follows. */
  readonly #topics: Topic[] = [];
  #hello: Frame | undefined;
  #unread: number | undefined;

  constructor(options: NotificationClientOptions) {
    super(options);
    const { api } = this;
    this.#connection = shareConnection({
      api,
      path: "/ws/notifications/",
      greeting: "hello",
      share: options.share ?? true,
      greetingForOthers: () => this.#hello && { ...this.#hello, ...this.#stream.position, unread: this.#unread },
      onFrame: (frame) => this.#take(frame),
      onStatus: (status, reason) => this.#emitter.emit("status", { status, reason }),
    });
    this.#stream = makeStream({
      environment: api.environment,
      ref: `resume-${api.environment.random().toString(36).slice(2)}`,
      leads: () => this.#connection.leads,
      send: (frame) => this.#connection.send(frame),
      apply: (frame) => this.#apply(frame),
      reload: () => this.#emitter.emit("reload", undefined),
    });
  }

  /** Listen to an event; the function that comes back ends it. */
  on<Name extends keyof NotificationEvents>(name: Name, listener: (event: NotificationEvents[Name]) => void): () => void {
    return this.#emitter.on(name, listener);
  }

  /** Be live; also: try again after `refused` or `unauthenticated`. */
  start(): void {
    this.#connection.start();
  }

  /** Be live no longer. `start()` resumes: what was missed comes then. */
  stop(): void {
    this.#connection.stop();
  }

  get status(): ConnectionStatus {
    return this.#connection.status;
  }

  /** How many messages are unread, as far as we have heard. */
  get unread(): number | undefined {
    return this.#unread;
  }

  /** Fetch it; where frames bring it, theirs is the newer one. */
  override async unreadCount(): Promise<number> {
    const unread = await super.unreadCount();
    if (this.status !== "open") this.#count(unread);
    return unread;
  }

  /** The number of the last change that was processed. */
  get position(): Position | undefined {
    return this.#stream.position;
  }

  /** Whether it is this tab that holds the socket. */
  get holdsSocket(): boolean {
    return this.#connection.leads;
  }

  /** Use another token from now on. If it is somebody else's, everything begins anew. */
  async setToken(token: TokenSource): Promise<void> {
    this.api.token = token;
    if (!(await this.#connection.changedBearer())) return;
    this.#stream.reset();
    this.#hello = this.#unread = undefined;
    this.start();
  }

  /**
   * Follow a topic: `progress` (needs `campaigns:read`) or `presence` (needs `users:read`). The function that comes
   * back ends it for this tab; the socket, which may be other tabs' as well, goes on until it closes.
   */
  follow<T extends Topic>(topic: T, listener: (frame: NotificationEvents[T]) => void): () => void {
    const off = this.on(topic, listener);
    this.#topics.push(topic);
    this.#connection.send({ type: "subscribe", topics: [topic] });
    let ended = false;
    return () => {
      if (!ended) this.#topics.splice(this.#topics.indexOf(topic), 1);
      ended = true;
      off();
    };
  }

  #take(frame: Frame): void {
    const { type, unread } = frame;
    if (type === "hello") this.#greeted(frame);
    this.#stream.take(frame);
    if (typeof unread === "number") this.#count(unread);
    if (type === "progress" || type === "presence") this.#emitter.emit(type, frame as never);
  }

  #count(unread: number): void {
    if (unread === this.#unread) return;
    this.#unread = unread;
    this.#emitter.emit("unread", unread);
  }

  /** A new socket knows nothing of topics. */
  #greeted(hello: Frame): void {
    const isNew = this.#hello?.["connection_id"] !== hello["connection_id"];
    this.#hello = hello;
    if (isNew && this.#topics.length) this.#connection.send({ type: "subscribe", topics: [...new Set(this.#topics)] });
  }

  #apply(frame: StreamFrame): void {
    const isMessage = frame.type === "notification" || frame.type === "broadcast";
    this.#emitter.emit(isMessage ? "message" : frame.type, frame as never);
    this.#emitter.emit("change", frame);
  }
}
