import { ApiError, type Api } from "./api.js";
import { Commands } from "./chat-commands.js";
import { Conversations } from "./chat-conversations.js";
import { FileAddresses } from "./chat-files.js";
import { Histories } from "./chat-histories.js";
import type { ChatLog, Taken } from "./chat-log.js";
import { Outbox } from "./chat-outbox.js";
import { People } from "./chat-people.js";
import type { ChatFile, ChatMessage, Conversation, Draft, Outgoing, Participant, Presence } from "./chat-types.js";
import type { ConnectionStatus, Frame } from "./connection.js";
import { Emitter } from "./emitter.js";
import { shareConnection, type SharedConnection } from "./shared.js";

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
  /** Whether tabs share one socket (true): see `NotificationClientOptions`. */
  share?: boolean | string;
}

const RELOAD_AFTER = 3_000;
/** Conversations of the list that are listened to. */
const LISTENED = 30;

/**
 * Chat of one person: a socket that stays, which all tabs share, conversations with their history, and an outbox that
 * loses nothing. It knows no page: components draw what it holds, and are told by events when that has changed.
 */
export class ChatClient extends Emitter<ChatEvents> {
  /** Whose chat this is; empty until the first connection. */
  userId = "";
  /** What the service said when it ended the connection. */
  reason = "";
  /** Why the conversations can not be loaded just now. */
  failure: ApiError | undefined;
  readonly #api: Api;
  readonly #connection: SharedConnection;
  readonly #commands: Commands;
  readonly #conversations: Conversations;
  readonly #histories: Histories;
  readonly #people: People;
  readonly #outbox: Outbox;
  readonly #files: FileAddresses;
  #greeting: Frame | undefined;

  constructor({ api, tenantId, share = true }: ChatClientOptions) {
    super();
    const onChange = (id: string): void => this.emit("conversation", { id });
    const isOpen = (): boolean => this.status === "open";
    this.#api = api;
    this.#connection = shareConnection({
      api,
      path: `/ws/chat/${encodeURIComponent(tenantId)}/`,
      greeting: "connection_established",
      share,
      greetingForOthers: () => this.#greeting,
      onFrame: (frame) => this.#take(frame),
      onStatus: (status, reason) => this.#changed(status, reason),
    });
    this.#commands = new Commands(api.environment, (frame) => this.#send(frame));
    const ask = (frame: Frame): Promise<Frame> => this.#commands.ask(frame);
    this.#conversations = new Conversations(api, () => this.emit("conversations", undefined));
    this.#histories = new Histories({ api, isOpen, ask, onChange });
    this.#people = new People(api.environment, onChange, (frame) => this.#send(frame));
    this.#files = new FileAddresses(api);
    this.#outbox = new Outbox({
      api,
      isOpen,
      ask,
      onChange,
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

  /** Be live no longer. What waits to be sent waits for `start()`. */
  stop(): void {
    this.#connection.stop();
    this.#outbox.stop();
    this.#histories.stop();
  }

  // --- Conversations --------------------------------------------------------------------------------------------------

  /** Newest first. */
  get conversations(): readonly Conversation[] {
    return this.#conversations.all;
  }

  get hasLoaded(): boolean {
    return this.#conversations.hasLoaded;
  }

  conversation(id: string): Conversation | undefined {
    return this.#conversations.find(id);
  }

  /** What is known of its messages. `isLoaded` is false before `open`. */
  log(id: string): ChatLog {
    return this.#histories.of(id);
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
    const found = await this.#conversations.load();
    for (const each of found) this.#people.know(each.id, each.participants);
    // What one tab listens to, all of them hear: the list is the same for all.
    const listed = this.#connection.leads ? found.slice(0, LISTENED).map((each) => each.id) : [];
    await Promise.all([...new Set([...listed, ...this.#histories.openIds])].map((id) => this.#listen(id)));
  }

  /** Load the newest messages of a conversation, and stay up to date. Throws `ApiError`. */
  async open(id: string): Promise<void> {
    if (this.log(id).isLoaded) return;
    if (!this.conversation(id)) await this.#refresh(id);
    await this.#histories.load(id);
    await this.#histories.resume(id);
  }

  /** Load the messages before the oldest one that is there. Throws `ApiError`. */
  async loadOlder(id: string): Promise<void> {
    await this.#histories.loadOlder(id);
  }

  /** The direct conversation with somebody, made if there is none. Throws `ApiError`. */
  async direct(userId: string): Promise<string> {
    const { id, participants } = await this.#conversations.direct(userId);
    this.#people.know(id, participants);
    await this.#listen(id);
    return id;
  }

  // --- Messages -------------------------------------------------------------------------------------------------------

  /** Send a message. It shows in `outgoing` at once, and arrives once, after a broken connection too. */
  send(id: string, draft: Draft): Outgoing {
    this.#people.wrote(id);
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
    if (!conversation || (conversation.last_read_seq ?? 0) >= seq) return;
    if (this.#send({ type: "mark_read", conversation_id: id, seq })) this.#readBy(id, this.userId, seq);
  }

  /** Somebody types here: told at most every three seconds. */
  type(id: string): void {
    this.#people.tellTyping(id);
  }

  stopTyping(id: string): void {
    this.#people.tellStopped(id);
  }

  /** Say how you are; `offline` hides you. */
  setPresence(status: Presence): void {
    this.#send({ type: "update_presence", status });
  }

  /** The address under which a file can be fetched for some minutes. Throws `ApiError`. */
  fileAddress(file: ChatFile): Promise<string> {
    return this.#files.of(file);
  }

  // --- The socket -----------------------------------------------------------------------------------------------------

  /** Send a frame. False if there is no connection: then it is gone. */
  #send(frame: Frame): boolean {
    const isOpen = this.status === "open";
    if (isOpen) this.#connection.send(frame);
    return isOpen;
  }

  #changed(status: ConnectionStatus, reason: string): void {
    this.reason = reason;
    this.#commands.lost(); // whoever had to answer is gone, also if another tab has taken over at once
    if (status === "open") {
      this.#outbox.flush();
      void this.#reload();
    } else {
      this.#people.lost();
    }
    this.emit("status", { status, reason });
  }

  /** Load the list and catch up, until that works or the connection is lost. */
  async #reload(): Promise<void> {
    try {
      await this.loadConversations();
      this.failure = undefined;
    } catch (error) {
      this.failure = ApiError.from(error);
      this.emit("conversations", undefined);
      this.#later(() => void this.#reload());
    }
  }

  /** Do something in a while if there is a connection then: each one begins with it anyway. */
  #later(work: () => void): void {
    this.#api.environment.setTimeout(() => {
      if (this.status === "open") work();
    }, RELOAD_AFTER);
  }

  #take(frame: Frame): void {
    const id = frame["conversation_id"] as string;
    const user = frame["user_id"] as string;
    switch (frame.type) {
      case "connection_established":
        this.#greeting = frame;
        this.userId = user;
        break;
      case "new_message":
        this.#said(id, frame["message"] as ChatMessage);
        break;
      case "message_updated":
      case "message_deleted":
        this.#apply(id, (log) => log.take(frame["message"] as ChatMessage));
        this.#conversations.changed(frame["message"] as ChatMessage);
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
        this.#people.joined(id);
        break;
      case "participant_added":
      case "conversation_updated":
        this.#refresh(id).catch(() => undefined); // the next heartbeat or connection tells it again
        break;
      case "participant_removed":
        this.#left(id, user);
        break;
      case "resumed":
        // What another tab has missed says nothing of us.
        if (this.#commands.isMine(frame)) {
          this.#histories.resumed(id, frame["last_seq"] as number, frame["revision"] as number);
        }
        break;
      case "heartbeat":
        for (const top of frame["conversations"] as Frame[]) this.#compare(top);
        break;
    }
    this.#commands.take(frame);
  }

  // --- What frames do -------------------------------------------------------------------------------------------------

  #said(id: string, message: ChatMessage): void {
    const isOwn = message.sender_id === this.userId;
    this.#apply(id, (log) => log.take(message));
    if (!this.conversation(id)) this.#refresh(id).catch(() => undefined); // it comes with the next one
    else if (this.#conversations.said(message, isOwn) && !isOwn) this.emit("message", message);
    if (!message.sender_id) return;
    this.#people.type(id, message.sender_id, 0);
    this.#people.read(id, message.sender_id, message.seq); // who writes has read what there was
  }

  #apply(id: string, change: (log: ChatLog) => Taken): Taken {
    const taken = this.#histories.apply(id, change);
    if (taken !== "applied") return taken;
    const arrived = new Set(this.log(id).messages.map((message) => message.client_message_id));
    for (const message of this.#outbox.of(id)) {
      if (arrived.has(message.clientMessageId)) this.#outbox.remove(message.clientMessageId);
    }
    this.emit("conversation", { id });
    return taken;
  }

  #readBy(id: string, user: string, seq: number): void {
    this.#people.read(id, user, seq);
    if (user === this.userId) this.#conversations.read(id, seq);
  }

  #left(id: string, user: string): void {
    this.#people.left(id, user);
    if (user !== this.userId) return;
    this.#histories.forget(id);
    this.#conversations.remove(id);
  }

  #compare({ conversation_id, last_seq, revision }: Frame): void {
    const id = conversation_id as string;
    this.#histories.compare(id, revision as number);
    if ((last_seq as number) > (this.conversation(id)?.last_seq ?? 0)) this.#refresh(id).catch(() => undefined);
  }

  /** Hear everything of a conversation, and what was missed of it. */
  async #listen(id: string): Promise<void> {
    if (this.status !== "open") return; // the next connection begins with it
    try {
      await this.#commands.ask({ type: "join_conversation", conversation_id: id });
      await this.#histories.resume(id);
    } catch (error) {
      if (ApiError.from(error).code === "not_found") return this.#left(id, this.userId);
      // A lost connection, which the next one mends, or a service that is too busy to answer just now.
      this.#later(() => !this.#people.hasJoined(id) && void this.#listen(id));
    }
  }

  async #refresh(id: string): Promise<void> {
    const isNew = !this.conversation(id);
    const found = await this.#conversations.fetch(id);
    this.#people.know(id, found.participants);
    if (isNew) await this.#listen(id);
  }

  async #change(id: string, frame: Frame): Promise<void> {
    const { message } = await this.#commands.ask({ ...frame, conversation_id: id });
    if (message) this.#apply(id, (log) => log.take(message as ChatMessage));
  }
}
