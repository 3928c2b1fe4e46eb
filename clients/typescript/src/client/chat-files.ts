import type { Api } from "./api.js";
import type { ChatFile } from "./chat-types.js";

/** The address of a file for whom it was made, until it expires (milliseconds since 1970). */
interface Address {
  readonly url: string;
  readonly until: number;
}

/** An address is asked for anew so many milliseconds before it expires. */
const EARLY = 10_000;

/** Addresses of files, asked for once while they are good. */
export class FileAddresses {
  readonly #known = new Map<string, Promise<Address>>();

  constructor(private readonly api: Api) {}

  /** The address under which a file can be fetched for some minutes. Throws `ApiError`. */
  async of({ id }: ChatFile): Promise<string> {
    const known = await this.#known.get(id);
    if (known && known.until > this.api.environment.now() + EARLY) return known.url;
    const asked = this.api
      .request<{ url: string; url_expires_at: string }>("GET", `/api/notifications/chat/files/${id}/`)
      .then(({ url, url_expires_at }) => ({ url, until: Date.parse(url_expires_at) }));
    this.#known.set(id, asked);
    asked.catch(() => this.#known.delete(id));
    return (await asked).url;
  }
}
