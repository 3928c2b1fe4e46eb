import type { Api } from "./api.js";
import { CHAT } from "./chat-conversations.js";
import { ChatLog, type Taken } from "./chat-log.js";
import type { HistoryPage } from "./chat-types.js";
import type { Frame } from "./connection.js";

export interface HistoriesOptions {
  api: Api;
  isOpen(): boolean;
  /** Send a command and wait for its answer. Rejects with `ApiError`. */
  ask(frame: Frame): Promise<Frame>;
  onChange(conversationId: string): void;
}

/** A change that came before its forerunner waits so long for it; then what is missing is asked for. */
const HEAL_AFTER = 800;
const PAGE = 40;

/** The histories of conversations that were opened, and how they catch up. */
export class Histories {
  readonly #options: HistoriesOptions;
  readonly #logs = new Map<string, ChatLog>();
  readonly #healing = new Map<string, unknown>();

  constructor(options: HistoriesOptions) {
    this.#options = options;
  }

  /** What is known of a conversation. */
  of(id: string): ChatLog {
    let log = this.#logs.get(id);
    if (!log) this.#logs.set(id, (log = new ChatLog()));
    return log;
  }

  /** The conversations that were opened. */
  get openIds(): string[] {
    return [...this.#logs].filter(([, log]) => log.isLoaded).map(([id]) => id);
  }

  forget(id: string): void {
    this.#logs.delete(id);
  }

  stop(): void {
    for (const timer of this.#healing.values()) this.#options.api.environment.clearTimeout(timer);
    this.#healing.clear();
  }

  /** Begin anew with the newest page. Throws `ApiError`. */
  async load(id: string): Promise<void> {
    this.of(id).reset(await this.#page(id));
    this.#options.onChange(id);
  }

  /** Load the messages before the oldest one that is there. Throws `ApiError`. */
  async loadOlder(id: string): Promise<void> {
    const log = this.of(id);
    const oldest = log.messages[0];
    if (!log.hasOlder || !oldest) return;
    const page = await this.#page(id, oldest.seq);
    if (log.messages[0] !== oldest) return; // begun anew meanwhile
    log.prepend(page);
    this.#options.onChange(id);
  }

  /** Change a history; if something is missing before that, ask for it. */
  apply(id: string, change: (log: ChatLog) => Taken): Taken {
    const taken = change(this.of(id));
    if (taken === "gap") this.#healLater(id);
    return taken;
  }

  /** The service has told how far a conversation is. */
  compare(id: string, revision: number): void {
    const log = this.of(id);
    if (log.isLoaded && revision > log.revision) this.#healLater(id);
  }

  /** Ask for what was missed; without a connection, the next one begins with it. */
  async resume(id: string): Promise<void> {
    const log = this.of(id);
    if (!log.isLoaded || !this.#options.isOpen()) return;
    log.resume();
    const { lastSeq: after_seq, revision: after_revision } = log;
    try {
      const answer = await this.#options.ask({ type: "resume", conversation_id: id, after_seq, after_revision });
      if (answer.type === "resync") await this.load(id);
    } catch {
      log.resumed(0, 0);
      this.#healLater(id);
    }
  }

  /** All that was missed has come. */
  resumed(id: string, lastSeq: number, revision: number): void {
    this.of(id).resumed(lastSeq, revision);
    this.#options.onChange(id);
  }

  #healLater(id: string): void {
    if (this.#healing.has(id)) return;
    const heal = (): void => {
      this.#healing.delete(id);
      void this.resume(id);
    };
    this.#healing.set(id, this.#options.api.environment.setTimeout(heal, HEAL_AFTER));
  }

  #page(id: string, before?: number): Promise<HistoryPage> {
    const query = { before, limit: PAGE };
    return this.#options.api.request("GET", `${CHAT}/conversations/${id}/messages/`, { query });
  }
}
