import { type Environment } from "./environment.js";
/**
 * A bearer token, or a function that gives one. With `refresh` it must be a new one: the last was refused.
 * A text is never asked for again.
 */
export type TokenSource = string | ((request: {
    refresh: boolean;
}) => string | Promise<string>);
export interface ApiOptions {
    /** Where the service is, for example `https://notify.example.com`. Without it: where the page comes from. */
    baseUrl?: string | undefined;
    token: TokenSource;
    /** For tests. */
    environment?: Environment | undefined;
}
/** What the service answers when it refuses: `{"detail", "code", "errors"}`. */
export declare class ApiError extends Error {
    /** HTTP status; 0 if there was no answer at all. */
    readonly status: number;
    /** For programs: `invalid`, `not_found`, `throttled`, …; `network_error` if there was no answer. */
    readonly code: string;
    /** For people. */
    readonly detail: string;
    /** By field: sentences. */
    readonly errors: Readonly<Record<string, string[]>>;
    /** Seconds to wait, where the service says so. */
    readonly retryAfter: number | undefined;
    readonly name = "ApiError";
    constructor(
    /** HTTP status; 0 if there was no answer at all. */
    status: number, 
    /** For programs: `invalid`, `not_found`, `throttled`, …; `network_error` if there was no answer. */
    code: string, 
    /** For people. */
    detail: string, 
    /** By field: sentences. */
    errors?: Readonly<Record<string, string[]>>, 
    /** Seconds to wait, where the service says so. */
    retryAfter?: number | undefined);
    /** Whatever was thrown, as such an error. */
    static from(error: unknown): ApiError;
}
export type Query = Record<string, string | number | boolean | undefined>;
export interface RequestOptions {
    query?: Query;
    /** Sent as JSON; a `FormData` as it is. */
    body?: unknown;
    signal?: AbortSignal | undefined;
}
/** REST: one place that shows the token, refreshes it once when it is refused, and reads errors. */
export declare class Api {
    #private;
    readonly environment: Environment;
    readonly baseUrl: string;
    constructor({ baseUrl, token, environment }: ApiOptions);
    /** Use another token from now on. */
    set token(source: TokenSource);
    /** Whether a refused token can be replaced by a new one. */
    get canRefresh(): boolean;
    /** The token in use. Asked for once, however many want it. */
    currentToken(): Promise<string>;
    /** A new token in the place of one that was refused; if another has come meanwhile, that one. */
    refreshedToken(refused: string): Promise<string>;
    /** The address of a socket at a path of the service. */
    socketUrl(path: string, ticket: string): string;
    /** Send a request and return what it answers. Throws `ApiError`. */
    request<Answer>(method: string, path: string, options?: RequestOptions): Promise<Answer>;
    /** Send a request and return the response, which is a good one. Throws `ApiError`. */
    send(method: string, path: string, options?: RequestOptions): Promise<Response>;
}
