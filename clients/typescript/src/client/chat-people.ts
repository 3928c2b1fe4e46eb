import type { Participant, Presence } from "./chat-types.js";
import type { Frame } from "./connection.js";
import type { Environment } from "./environment.js";

/** That we type is told again after so many milliseconds. */
const TELL_AGAIN = 3_000;
/** That somebody types counts for so many milliseconds. */
const TYPING_LASTS = 6_000;

/** Who is in the conversations, how far they have read, how they are, and who types. */
export class People {
  readonly #environment: Environment;
  readonly #onChange: (conversationId: string) => void;
  readonly #send: (frame: Frame) => boolean;
  readonly #participants = new Map<string, Map<string, Participant>>();
  readonly #presence = new Map<string, Presence>();
  /** By conversation and person: the timer that ends it. */
  readonly #typing = new Map<string, Map<string, unknown>>();

  /** By conversation: when we typed last, and when that was told. */
  readonly #typed = new Map<string, number>();
  readonly #told = new Map<string, number>();
  /** The conversations that the connection is known to have joined. */
  readonly #joined = new Set<string>();

  constructor(environment: Environment, onChange: (conversationId: string) => void, send: (frame: Frame) => boolean) {
    this.#environment = environment;
    this.#onChange = onChange;
    this.#send = send;
  }

  /** Of a conversation. */
  in(id: string): Participant[] {
    return [...(this.#participants.get(id)?.values() ?? [])];
  }

  /** User ids of those who type in a conversation. */
  typing(id: string): string[] {
    return [...(this.#typing.get(id)?.keys() ?? [])];
  }

  presence(userId: string): Presence {
    return this.#presence.get(userId) ?? "offline";
  }

  setPresence(userId: string, presence: Presence): void {
    this.#presence.set(userId, presence);
  }

  /** What the service says of participants; nobody's position moves back. */
  know(id: string, participants: readonly Participant[]): void {
    let known = this.#participants.get(id);
    if (!known) this.#participants.set(id, (known = new Map()));
    for (const each of participants) {
      const last_read_seq = Math.max(each.last_read_seq, known.get(each.user_id)?.last_read_seq ?? 0);
      known.set(each.user_id, { ...each, last_read_seq });
      if (each.status) this.#presence.set(each.user_id, each.status);
    }
    this.#onChange(id);
  }

  read(id: string, userId: string, seq: number): void {
    const participant = this.#participants.get(id)?.get(userId);
    if (!participant || participant.last_read_seq >= seq) return;
    this.#participants.get(id)?.set(userId, { ...participant, last_read_seq: seq });
    this.#onChange(id);
  }

  left(id: string, userId: string): void {
    this.#participants.get(id)?.delete(userId);
    this.type(id, userId, 0);
    this.#onChange(id);
  }

  /** Somebody types for so many seconds, unless it is said again; 0: no more. */
  type(id: string, userId: string, seconds: number): void {
    let typing = this.#typing.get(id);
    if (!typing) this.#typing.set(id, (typing = new Map()));
    const wasTyping = typing.has(userId);
    this.#environment.clearTimeout(typing.get(userId));
    typing.delete(userId);
    if (seconds > 0) {
      typing.set(userId, this.#environment.setTimeout(() => this.type(id, userId, 0), seconds * 1000));
    }
    if (wasTyping !== seconds > 0) this.#onChange(id);
  }

  /** The connection is lost: nobody is heard typing any more, and nobody hears us. */
  lost(): void {
    for (const id of this.#typing.keys()) for (const userId of this.typing(id)) this.type(id, userId, 0);
    this.#joined.clear();
    this.#told.clear();
  }

  hasJoined(id: string): boolean {
    return this.#joined.has(id);
  }

  /** We are heard in a conversation from now on. That we type may have been told to nobody: tell it again. */
  joined(id: string): void {
    if (this.#joined.has(id)) return;
    this.#joined.add(id);
    if (this.#environment.now() - (this.#typed.get(id) ?? Number.NEGATIVE_INFINITY) < TYPING_LASTS) this.#tell(id);
  }

  /** We type: tell it, but not at every key. */
  tellTyping(id: string): void {
    const now = this.#environment.now();
    this.#typed.set(id, now);
    if (now - (this.#told.get(id) ?? Number.NEGATIVE_INFINITY) >= TELL_AGAIN) this.#tell(id);
  }

  /** We type no more, and have sent nothing. */
  tellStopped(id: string): void {
    this.#typed.delete(id);
    if (this.#told.delete(id)) this.#send({ type: "stop_typing", conversation_id: id });
  }

  /** We have sent what we typed: whoever gets it sees that. */
  wrote(id: string): void {
    this.#typed.delete(id);
    this.#told.delete(id);
  }

  #tell(id: string): void {
    if (this.#send({ type: "start_typing", conversation_id: id })) this.#told.set(id, this.#environment.now());
  }
}
