import { ApiError, type Api } from "./api.js";
import { Commands } from "./chat-commands.js";
import { ChatLog, type Taken } from "./chat-log.js";
import { Outbox } from "./chat-outbox.js";
import { People } from "./chat-people.js";
import type {
  ChatFile,
  ChatMessage,
  Conversation,
  Draft,
  HistoryPage,
  Outgoing,
  Participant,
  Presence,
} from "./chat-types.js";
import { Connection, type ConnectionStatus, type Frame } from "./connection.js";
import { Emitter } from "./emitter.js";

export interface ChatEvents {
  /** The connection. */
  status: { status: ConnectionStatus; reason: string };
  /** The list of conversations, or something that it shows. */
  conversations: undefined;
  /** Anything of one conversation: messages, what is on its way, who types, who has read, who is here. */
  conversation: { id: string };
  /** A message of somebody else, as it is said. */
  message: ChatMessage;
}

export interface ChatClientOptions {
  api: Api;
  /** As in the token. */
  tenantId: string;
}

/** The address of a file for whom it was made, until it expires (milliseconds since 1970). */
interface FileAddress {
  readonly url: string;
  readonly until: number;
}

const CHAT = "/api/notifications/chat";
/** A change that came before its forerunner waits so long for it; then what is missing is asked for. */
const HEAL_AFTER = 800;
const RELOAD_AFTER = 3_000;
const TYPING_AGAIN = 3_000;
/** Conversations of the list that are listened to. */
const LISTENED = 30;
const PAGE = 40;

/**
 * Chat of one person: a socket that stays, conversations with their history, and an outbox that loses nothing. It knows
 * no page: components draw what it holds, and are told by events when that has changed.
 */
export class ChatClient extends Emitter<ChatEvents> {
  /** Whose chat this is; empty until the first connection. */
  userId = "";
  /** Newest first. */
  conversations: readonly Conversation[] = [];
  hasLoaded = false;
  /** What the service said when it ended the connection. */
  reason = "";
  /** Why the conversations can not be loaded just now. */
  failure: ApiError | undefined;
  readonly #api: Api;
  readonly #connection: Connection;
  readonly #commands: Commands;
  readonly #people: People;
  readonly #outbox: Outbox;
  readonly #logs = new Map<string, ChatLog>();
  readonly #toldTyping = new Map<string, number>();
  readonly #healing = new Map<string, unknown>();
  readonly #files = new Map<string, Promise<FileAddress>>();

  constructor({ api, tenantId }: ChatClientOptions) {
    super();
    this.#api = api;
    this.#connection = new Connection({
      api,
      path: `/ws/chat/${encodeURIComponent(tenantId)}/`,
      greeting: "connection_established",
      onFrame: (frame) => this.#take(frame),
      onStatus: (status, reason) => this.#changed(status, reason),
    });
    this.#commands = new Commands(api.environment, (frame) => this.#connection.send(frame));
    this.#people = new People(api.environment, (id) => this.emit("conversation", { id }));
    this.#outbox = new Outbox({
      api,
      isOpen: () => this.status === "open",
      ask: (frame) => this.#commands.ask(frame),
      onChange: (id) => this.emit("conversation", { id }),
      onSent: (message) => {
        // In a gap it stays on its way until what came before it is there.
        if (this.#apply(message.conversation_id, (log) => log.take(message)) !== "gap") {
          this.#outbox.remove(message.client_message_id);
        }
      },
    });
  }

  get status(): ConnectionStatus {
    return this.#connection.status;
  }

  start(): void {
    this.#connection.start();
  }

  /** Close the socket. What waits to be sent waits for `start()`. */
  stop(): void {
    this.#connection.stop();
    this.#outbox.stop();
    for (const timer of this.#healing.values()) this.#api.environment.clearTimeout(timer);
    this.#healing.clear();
  }

  // --- Conversations --------------------------------------------------------------------------------------------------

  conversation(id: string): Conversation | undefined {
    return this.conversations.find((each) => each.id === id);
  }

  /** What is known of its messages. `isLoaded` is false before `open`. */
  log(id: string): ChatLog {
    return entry(this.#logs, id, () => new ChatLog());
  }

  /** Ours that are not in its messages yet. */
  outgoing(id: string): Outgoing[] {
    const arrived = new Set(this.log(id).messages.map((message) => message.client_message_id));
    return this.#outbox.of(id).filter((message) => !arrived.has(message.clientMessageId));
  }

  participants(id: string): Participant[] {
    return this.#people.in(id);
  }

  /** User ids of the others who are typing. */
  typing(id: string): string[] {
    return this.#people.typing(id);
  }

  presence(userId: string): Presence {
    return this.#people.presence(userId);
  }

  /** Load the newest conversations (at most 50), and listen to them. Throws `ApiError`. */
  async loadConversations(): Promise<void> {
    const { results } = await this.#api.request<{ results: Conversation[] }>("GET", `${CHAT}/conversations/`);
    this.conversations = results;
    this.hasLoaded = true;
    for (const each of results) this.#people.know(each.id, each.participants);
    this.emit("conversations", undefined);
    if (this.status !== "open") return;
    const ids = new Set([...results.slice(0, LISTENED).map((each) => each.id), ...this.#openIds()]);
    await Promise.all([...ids].map((id) => this.#listen(id)));
  }

  /** Load the newest messages of a conversation, and stay up to date. Throws `ApiError`. */
  async open(id: string): Promise<void> {
    const log = this.log(id);
    if (!log.isLoaded) {
      if (!this.conversation(id)) await this.#refresh(id);
      log.reset(await this.#page(id, {}));
      this.emit("conversation", { id });
      await this.#resume(id);
    }
  }

  /** Load the messages before the oldest one that is there. Throws `ApiError`. */
  async loadOlder(id: string): Promise<void> {
    const log = this.log(id);
    const oldest = log.messages[0];
    if (!log.hasOlder || !oldest) return;
    const page = await this.#page(id, { before: oldest.seq });
    if (log.messages[0] !== oldest) return; // begun anew meanwhile
    log.prepend(page);
    this.emit("conversation", { id });
  }

  /** Find or make the direct conversation with somebody, and return its id. Throws `ApiError`. */
  async direct(userId: string): Promise<string> {
    const body = { kind: "direct", user_ids: [userId] };
    const made = await this.#api.request<Conversation>("POST", `${CHAT}/conversations/`, { body });
    this.#put(made);
    if (this.status === "open") await this.#listen(made.id);
    return made.id;
  }

  // --- Messages -------------------------------------------------------------------------------------------------------

  /** Send a message. It shows in `outgoing` at once, and arrives once, after a broken connection too. */
  send(id: string, draft: Draft): Outgoing {
    this.#toldTyping.delete(id);
    return this.#outbox.add(id, draft);
  }

  /** Try a message that failed again. */
  retry(clientMessageId: string): void {
    this.#outbox.retry(clientMessageId);
  }

  /** Give up a message that failed or waits. */
  discard(clientMessageId: string): void {
    this.#outbox.remove(clientMessageId);
  }

  /** Change the text of a message of one's own. Throws `ApiError`. */
  async edit({ conversation_id, id }: ChatMessage, text: string): Promise<void> {
    await this.#change(conversation_id, { type: "edit_message", message_id: id, text });
  }

  /** Delete a message. Throws `ApiError`. */
  async remove({ conversation_id, id }: ChatMessage): Promise<void> {
    await this.#change(conversation_id, { type: "delete_message", message_id: id });
  }

  /** Put a reaction on a message, or take it back. Throws `ApiError`. */
  async react({ conversation_id, id }: ChatMessage, emoji: string, present: boolean): Promise<void> {
    const type = present ? "add_reaction" : "remove_reaction";
    await this.#change(conversation_id, { type, message_id: id, emoji });
  }

  /** Everything up to `seq` has been read. Lost without a connection: say it again then. */
  markRead(id: string, seq: number): void {
    const conversation = this.conversation(id);
    if (this.status !== "open" || !conversation || (conversation.last_read_seq ?? 0) >= seq) return;
    this.#connection.send({ type: "mark_read", conversation_id: id, seq });
    this.#readBy(id, this.userId, seq);
  }

  /** Somebody types here: told at most every three seconds. */
  type(id: string): void {
    const now = this.#api.environment.now();
    if (now - (this.#toldTyping.get(id) ?? 0) < TYPING_AGAIN) return;
    if (this.#connection.send({ type: "start_typing", conversation_id: id })) this.#toldTyping.set(id, now);
  }

  stopTyping(id: string): void {
    if (this.#toldTyping.delete(id)) this.#connection.send({ type: "stop_typing", conversation_id: id });
  }

  /** Say how you are; `offline` hides you. */
  setPresence(status: Presence): void {
    this.#connection.send({ type: "update_presence", status });
  }

  /** The address under which a file can be fetched for some minutes. Throws `ApiError`. */
  async fileAddress(file: ChatFile): Promise<string> {
    const known = await this.#files.get(file.id);
    if (known && known.until > this.#api.environment.now() + 10_000) return known.url;
    const asked = this.#api
      .request<{ url: string; url_expires_at: string }>("GET", `${CHAT}/files/${file.id}/`)
      .then(({ url, url_expires_at }) => ({ url, until: Date.parse(url_expires_at) }));
    this.#files.set(file.id, asked);
    asked.catch(() => this.#files.delete(file.id));
    return (await asked).url;
  }

  // --- The socket -----------------------------------------------------------------------------------------------------

  #changed(status: ConnectionStatus, reason: string): void {
    this.reason = reason;
    if (status === "open") {
      this.#outbox.flush();
      void this.#reload();
    } else {
      this.#commands.lost();
      this.#people.nobodyTypes();
    }
    this.emit("status", { status, reason });
  }

  /** Load the list and catch up, until that works or the connection is lost. */
  async #reload(): Promise<void> {
    try {
      await this.loadConversations();
      this.failure = undefined;
    } catch (error) {
      this.failure = error instanceof ApiError ? error : new ApiError(0, "error", String(error));
      this.emit("conversations", undefined);
      this.#api.environment.setTimeout(() => {
        if (this.status === "open") void this.#reload();
      }, RELOAD_AFTER);
    }
  }

  #take(frame: Frame): void {
    const id = frame["conversation_id"] as string;
    const user = frame["user_id"] as string;
    switch (frame.type) {
      case "connection_established":
        this.userId = user;
        break;
      case "new_message":
        this.#said(id, frame["message"] as ChatMessage);
        break;
      case "message_updated":
      case "message_deleted":
        this.#apply(id, (log) => log.take(frame["message"] as ChatMessage));
        this.#showLast(id, frame["message"] as ChatMessage);
        break;
      case "reaction_added":
      case "reaction_removed": {
        const [message, emoji, revision] = [frame["message_id"], frame["emoji"], frame["revision"]];
        const present = frame.type === "reaction_added";
        this.#apply(id, (log) => log.react(message as string, user, emoji as string, present, revision as number));
        break;
      }
      case "typing_indicator":
        this.#people.type(id, user, frame["typing"] ? (frame["expires_in"] as number) : 0);
        break;
      case "read_receipt":
        this.#readBy(id, user, frame["last_read_seq"] as number);
        break;
      case "presence_changed":
        this.#people.setPresence(user, frame["status"] as Presence);
        this.emit("conversations", undefined);
        break;
      case "conversation_joined":
        this.#people.know(id, frame["participants"] as Participant[]);
        break;
      case "participant_added":
      case "conversation_updated":
        this.#refresh(id).catch(() => undefined); // the next heartbeat or connection tells it again
        break;
      case "participant_removed":
        this.#left(id, user);
        break;
      case "resumed":
        this.log(id).resumed(frame["last_seq"] as number, frame["revision"] as number);
        this.emit("conversation", { id });
        break;
      case "resync":
        void this.#beginAnew(id);
        break;
      case "heartbeat":
        for (const top of frame["conversations"] as Frame[]) this.#compare(top);
        break;
    }
    this.#commands.take(frame);
  }

  // --- What frames do -------------------------------------------------------------------------------------------------

  #said(id: string, message: ChatMessage): void {
    const before = this.conversation(id);
    this.#apply(id, (log) => log.take(message));
    if (!before) {
      this.#refresh(id).catch(() => undefined); // it comes with the next one, or the next connection
    } else if (message.seq > before.last_seq) {
      const own = message.sender_id === this.userId;
      const last_read_seq = own ? message.seq : before.last_read_seq;
      this.#put({
        ...before,
        last_message: message,
        last_seq: message.seq,
        last_read_seq,
        unread_count: message.seq - (last_read_seq ?? message.seq),
        active_at: message.created_at,
      });
      if (!own) this.emit("message", message);
    }
    if (!message.sender_id) return;
    this.#people.type(id, message.sender_id, 0);
    this.#people.read(id, message.sender_id, message.seq); // who writes has read what there was
  }

  #apply(id: string, change: (log: ChatLog) => Taken): Taken {
    const log = this.log(id);
    const taken = change(log);
    if (taken === "gap") this.#healLater(id);
    if (taken !== "applied") return taken;
    const arrived = new Set(log.messages.map((message) => message.client_message_id));
    for (const message of this.#outbox.of(id)) {
      if (arrived.has(message.clientMessageId)) this.#outbox.remove(message.clientMessageId);
    }
    this.emit("conversation", { id });
    return taken;
  }

  #showLast(id: string, message: ChatMessage): void {
    const conversation = this.conversation(id);
    if (conversation?.last_message?.id === message.id) this.#put({ ...conversation, last_message: message });
  }

  #readBy(id: string, user: string, seq: number): void {
    this.#people.read(id, user, seq);
    const conversation = this.conversation(id);
    if (user === this.userId && conversation && (conversation.last_read_seq ?? 0) < seq) {
      this.#put({ ...conversation, last_read_seq: seq, unread_count: Math.max(0, conversation.last_seq - seq) });
    }
  }

  #left(id: string, user: string): void {
    this.#people.left(id, user);
    if (user === this.userId) {
      this.conversations = this.conversations.filter((each) => each.id !== id);
      this.#logs.delete(id);
      this.emit("conversations", undefined);
    }
  }

  #compare({ conversation_id, last_seq, revision }: Frame): void {
    const id = conversation_id as string;
    const log = this.log(id);
    if (log.isLoaded && (revision as number) > log.revision) this.#healLater(id);
    if ((last_seq as number) > (this.conversation(id)?.last_seq ?? 0)) this.#refresh(id).catch(() => undefined);
  }

  // --- Catching up ----------------------------------------------------------------------------------------------------

  /** Hear everything of a conversation, and what was missed of it. */
  async #listen(id: string): Promise<void> {
    try {
      await this.#commands.ask({ type: "join_conversation", conversation_id: id });
      if (this.log(id).isLoaded) await this.#resume(id);
    } catch (error) {
      if (error instanceof ApiError && error.code === "not_found") this.#left(id, this.userId);
      // Anything else: the connection was lost, and the next one begins with this.
    }
  }

  async #resume(id: string): Promise<void> {
    const log = this.log(id);
    if (this.status !== "open") return; // the next connection begins with it
    log.resume();
    const { lastSeq: after_seq, revision: after_revision } = log;
    await this.#commands.ask({ type: "resume", conversation_id: id, after_seq, after_revision }).catch(() => {
      log.resumed(0, 0);
      this.#healLater(id);
    });
  }

  #healLater(id: string): void {
    if (this.#healing.has(id)) return;
    const heal = (): void => {
      this.#healing.delete(id);
      void this.#resume(id);
    };
    this.#healing.set(id, this.#api.environment.setTimeout(heal, HEAL_AFTER));
  }

  async #beginAnew(id: string): Promise<void> {
    try {
      this.log(id).reset(await this.#page(id, {}));
      this.emit("conversation", { id });
    } catch {
      this.#healLater(id);
    }
  }

  async #refresh(id: string): Promise<void> {
    const found = await this.#api.request<Conversation>("GET", `${CHAT}/conversations/${id}/`);
    const isNew = !this.conversation(id);
    this.#people.know(id, found.participants);
    this.#put(found);
    if (isNew && this.status === "open") await this.#listen(id);
  }

  #put(conversation: Conversation): void {
    const others = this.conversations.filter((each) => each.id !== conversation.id);
    this.conversations = [...others, conversation].sort((a, b) => b.active_at.localeCompare(a.active_at));
    this.emit("conversations", undefined);
  }

  #page(id: string, query: { before?: number }): Promise<HistoryPage> {
    return this.#api.request("GET", `${CHAT}/conversations/${id}/messages/`, { query: { ...query, limit: PAGE } });
  }

  async #change(id: string, frame: Frame): Promise<void> {
    const { message } = await this.#commands.ask({ ...frame, conversation_id: id });
    if (message) this.#apply(id, (log) => log.take(message as ChatMessage));
  }

  #openIds(): string[] {
    return [...this.#logs].filter(([, log]) => log.isLoaded).map(([id]) => id);
  }
}

function entry<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
