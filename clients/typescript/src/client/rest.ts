import { Api, type ApiOptions } from "./api.js";
import type { Changed, Message, MessageQuery, Page, Preferences, PreferencesChoice } from "./types.js";

const MINE = "/api/v1/users/me/notifications";
const PREFERENCES = "/api/v1/users/me/preferences";
const SOUNDS = "/api/v1/sounds";

/** One's own messages and preferences over REST (docs/inbox.md). Everything throws `ApiError`. */
export class NotificationApi {
  /** For whatever has no method of its own. */
  readonly api: Api;

  constructor(options: ApiOptions) {
    this.api = new Api(options);
  }

  /** My messages, the newest first. */
  async list({ pageSize, priority, since, before, cursor = "", signal, ...query }: MessageQuery = {}): Promise<Page<Message>> {
    const moments = { since: moment(since), before: moment(before) };
    const given = { ...query, ...moments, priority: priority?.toString(), page_size: pageSize, cursor };
    const body = await this.api.request<{ results: Message[]; next: string | null }>("GET", MINE, { query: given, signal });
    const next = body.next ? (new URL(body.next, "http://_").searchParams.get("cursor") ?? undefined) : undefined;
    return { items: body.results, next };
  }

  get(id: string): Promise<Message> {
    return this.#ask("GET", one(id));
  }

  markRead(id: string): Promise<Message> {
    return this.#ask("PATCH", one(id, "/read"));
  }

  markUnread(id: string): Promise<Message> {
    return this.#ask("PATCH", one(id, "/unread"));
  }

  /** Mark up to 500 messages as read. */
  markManyRead(ids: readonly string[]): Promise<Changed> {
    return this.#ask("POST", "/api/notifications/mark-as-read/", { ids });
  }

  markAllRead(): Promise<Changed> {
    return this.#ask("POST", `${MINE}/mark-all-read`);
  }

  archive(id: string): Promise<Message> {
    return this.#ask("POST", one(id, "/archive"));
  }

  unarchive(id: string): Promise<Message> {
    return this.#ask("POST", one(id, "/unarchive"));
  }

  /** Hide a message until then; null shows it again now. */
  snooze(id: string, until: Date | string | null): Promise<Message> {
    return this.#ask("POST", one(id, "/snooze"), { until: until && moment(until) });
  }

  /** Confirm that a message was taken note of. */
  acknowledge(id: string): Promise<Message> {
    return this.#ask("PUT", `/api/v1/notifications/${encodeURIComponent(id)}/acknowledge`);
  }

  /** Delete one message, up to 500, all that are read, or all. */
  delete(what: string | readonly string[] | "read" | "all"): Promise<void> {
    if (what === "read" || what === "all") return this.#ask("DELETE", MINE, { [what]: true });
    return typeof what === "string" ? this.#ask("DELETE", one(what)) : this.#ask("DELETE", MINE, { ids: what });
  }

  async unreadCount(): Promise<number> {
    return (await this.#ask<{ unread: number }>("GET", `${MINE}/unread-count`)).unread;
  }

  preferences(): Promise<Preferences> {
    return this.#ask("GET", PREFERENCES);
  }

  /** Choose everything anew: what is not given goes back to its default. */
  savePreferences(choice: PreferencesChoice): Promise<Preferences> {
    return this.#ask("PUT", PREFERENCES, choice);
  }

  /** A sound of the tenant by its name; undefined if there is none. */
  async sound(name: string): Promise<ArrayBuffer | undefined> {
    const query = { name, cursor: "", page_size: 1 };
    const { results } = await this.api.request<{ results: { id: string }[] }>("GET", SOUNDS, { query });
    return results[0] && (await this.api.send("GET", `${SOUNDS}/${results[0].id}`)).arrayBuffer();
  }

  #ask<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
    return this.api.request(method, path, { body });
  }
}

function one(id: string, verb = ""): string {
  return `${MINE}/${encodeURIComponent(id)}${verb}`;
}

function moment(value: Date | string | undefined): string | undefined {
  return value instanceof Date ? value.toISOString() : value;
}
