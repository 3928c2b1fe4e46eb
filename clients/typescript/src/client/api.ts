import { browser, type Environment } from "./environment.js";

/**
 * A bearer token, or a function that gives one. With `refresh` it must be a new one: the last was refused.
 * A text is never asked for again.
 */
export type TokenSource = string | ((request: { refresh: boolean }) => string | Promise<string>);

export interface ApiOptions {
  /** Where the service is, for example `https://notify.example.com`. Without it: where the page comes from. */
  baseUrl?: string | undefined;
  token: TokenSource;
  /** For tests. */
  environment?: Environment | undefined;
}

/** What the service answers when it refuses: `{"detail", "code", "errors"}`. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    /** HTTP status; 0 if there was no answer at all. */
    readonly status: number,
    /** For programs: `invalid`, `not_found`, `throttled`, …; `network_error` if there was no answer. */
    readonly code: string,
    /** For people. */
    readonly detail: string,
    /** By field: sentences. */
    readonly errors: Readonly<Record<string, string[]>> = {},
    /** Seconds to wait, where the service says so. */
    readonly retryAfter: number | undefined = undefined,
  ) {
    super(detail);
  }

  /** Whatever was thrown, as such an error. */
  static from(error: unknown): ApiError {
    if (error instanceof ApiError) return error;
    return new ApiError(0, "error", error instanceof Error ? error.message : String(error));
  }
}

export type Query = Record<string, string | number | boolean | undefined>;

export interface RequestOptions {
  query?: Query;
  /** Sent as JSON; a `FormData` as it is. */
  body?: unknown;
  signal?: AbortSignal | undefined;
}

/** REST: one place that shows the token, refreshes it once when it is refused, and reads errors. */
export class Api {
  readonly environment: Environment;
  readonly baseUrl: string;
  #source: TokenSource;
  #token: Promise<string> | undefined;

  constructor({ baseUrl = "", token, environment = browser() }: ApiOptions) {
    this.baseUrl = baseUrl.replace(/\/+$/, "");
    this.#source = token;
    this.environment = environment;
  }

  /** Use another token from now on. */
  set token(source: TokenSource) {
    this.#source = source;
    this.#token = undefined;
  }

  /** Whether a refused token can be replaced by a new one. */
  get canRefresh(): boolean {
    return typeof this.#source === "function";
  }

  /** The token in use. Asked for once, however many want it. */
  currentToken(): Promise<string> {
    return (this.#token ??= this.#ask(false));
  }

  /** A new token in the place of one that was refused; if another has come meanwhile, that one. */
  async refreshedToken(refused: string): Promise<string> {
    const held = this.currentToken();
    const current = await held.catch(() => refused);
    const isStillHeld = this.#token === held || !this.#token; // else somebody else has asked for a new one
    if (current === refused && isStillHeld) this.#token = this.#ask(true);
    return this.currentToken();
  }

  #ask(refresh: boolean): Promise<string> {
    const source = this.#source;
    const asked = (async () => (typeof source === "function" ? source({ refresh }) : source))();
    asked.catch(() => {
      if (this.#token === asked) this.#token = undefined; // the next caller asks again
    });
    return asked;
  }

  /** The address of a socket at a path of the service. */
  socketUrl(path: string, ticket: string): string {
    const base = this.baseUrl || location.origin;
    return `${new URL(path, base.replace(/^http/, "ws") + "/").href}?ticket=${encodeURIComponent(ticket)}`;
  }

  /** Send a request and return what it answers. Throws `ApiError`. */
  async request<Answer>(method: string, path: string, options?: RequestOptions): Promise<Answer> {
    const response = await this.send(method, path, options);
    return (response.status === 204 ? undefined : await response.json()) as Answer;
  }

  /** Send a request and return the response, which is a good one. Throws `ApiError`. */
  async send(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    const token = await this.currentToken();
    let response = await this.#fetch(method, path, options, token);
    if (response.status === 401 && this.canRefresh) {
      response = await this.#fetch(method, path, options, await this.refreshedToken(token));
    }
    if (response.ok) return response;
    const { status, headers } = response;
    const { code = "error", detail = `The service answered ${status}.`, errors } = (await response
      .json()
      .catch(() => ({}))) as Partial<ApiError>;
    throw new ApiError(status, code, detail, errors, Number(headers.get("Retry-After")) || undefined);
  }

  async #fetch(method: string, path: string, { query = {}, body, signal }: RequestOptions, token: string): Promise<Response> {
    const isForm = body instanceof FormData;
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, `${value}`);
    try {
      return await this.environment.fetch(`${this.baseUrl}${path}${`${search}` && `?${search}`}`, {
        method,
        headers: {
          Authorization: `Bearer ${token}`,
          Accept: "application/json, */*;q=0.1",
          ...(body !== undefined && !isForm && { "Content-Type": "application/json" }),
        },
        body: isForm ? body : (JSON.stringify(body) as string | undefined) ?? null,
        signal: signal ?? null,
        credentials: "omit",
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError(0, "network_error", "The service can not be reached.");
    }
  }
}
