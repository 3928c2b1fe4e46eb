import { Api, type ApiOptions, type Query } from "./api.js";
import type { Changed, Message, MessageQuery, Page, Preferences, PreferencesChoice } from "./types.js";

const MINE = "/api/v1/users/me/notifications";

/** One's own messages and preferences over REST (docs/inbox.md). Everything throws `ApiError`. */
export class NotificationApi {
  /** For whatever has no method of its own. */
  readonly api: Api;

  constructor(options: ApiOptions) {
    this.api = new Api(options);
  }

  /** My messages, the newest first. */
  async list(query: MessageQuery = {}): Promise<Page<Message>> {
    const { status, priority, category, since, before, pageSize, cursor = "", signal } = query;
    const given: Query = { status, priority: priority?.toString(), category, page_size: pageSize, cursor };
    Object.assign(given, { since: moment(since), before: moment(before) });
    const body = await this.api.request<{ results: Message[]; next: string | null }>("GET", MINE, { query: given, signal });
    const next = body.next ? (new URL(body.next, "http://_").searchParams.get("cursor") ?? undefined) : undefined;
    return { items: body.results, next };
  }

  get(id: string): Promise<Message> {
    return this.api.request("GET", one(id));
  }

  markRead(id: string): Promise<Message> {
    return this.api.request("PATCH", one(id, "/read"));
  }

  markUnread(id: string): Promise<Message> {
    return this.api.request("PATCH", one(id, "/unread"));
  }

  /** Mark up to 500 messages as read. */
  markManyRead(ids: readonly string[]): Promise<Changed> {
    return this.api.request("POST", "/api/notifications/mark-as-read/", { body: { ids } });
  }

  markAllRead(): Promise<Changed> {
    return this.api.request("POST", `${MINE}/mark-all-read`);
  }

  archive(id: string): Promise<Message> {
    return this.api.request("POST", one(id, "/archive"));
  }

  unarchive(id: string): Promise<Message> {
    return this.api.request("POST", one(id, "/unarchive"));
  }

  /** Hide a message until then; null shows it again now. */
  snooze(id: string, until: Date | string | null): Promise<Message> {
    return this.api.request("POST", one(id, "/snooze"), { body: { until: until && moment(until) } });
  }

  /** Confirm that a message was taken note of. */
  acknowledge(id: string): Promise<Message> {
    return this.api.request("PUT", `/api/v1/notifications/${encodeURIComponent(id)}/acknowledge`);
  }

  /** Delete one message, up to 500, all that are read, or all. */
  async delete(what: string | readonly string[] | "read" | "all"): Promise<void> {
    if (what === "read" || what === "all") await this.api.request("DELETE", MINE, { body: { [what]: true } });
    else if (typeof what === "string") await this.api.request("DELETE", one(what));
    else await this.api.request("DELETE", MINE, { body: { ids: what } });
  }

  async unreadCount(): Promise<number> {
    return (await this.api.request<{ unread: number }>("GET", `${MINE}/unread-count`)).unread;
  }

  preferences(): Promise<Preferences> {
    return this.api.request("GET", "/api/v1/users/me/preferences");
  }

  /** Choose everything anew: what is not given goes back to its default. */
  savePreferences(choice: PreferencesChoice): Promise<Preferences> {
    return this.api.request("PUT", "/api/v1/users/me/preferences", { body: choice });
  }

  /** A sound of the tenant by its name; undefined if there is none. */
  async sound(name: string): Promise<ArrayBuffer | undefined> {
    const query = { name, cursor: "", page_size: 1 };
    const { results } = await this.api.request<{ results: { id: string }[] }>("GET", "/api/v1/sounds", { query });
    const id = results[0]?.id;
    return id === undefined ? undefined : (await this.api.send("GET", `/api/v1/sounds/${id}`)).arrayBuffer();
  }
}

function one(id: string, verb = ""): string {
  return `${MINE}/${encodeURIComponent(id)}${verb}`;
}

function moment(value: Date | string | undefined): string | undefined {
  return value instanceof Date ? value.toISOString() : value;
}
