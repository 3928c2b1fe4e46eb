import type { Api } from "./api.js";
import type { ChatFile } from "./chat-types.js";
/** Addresses of files, asked for once while they are good. */
export declare class FileAddresses {
    #private;
    private readonly api;
    constructor(api: Api);
    /** The address under which a file can be fetched for some minutes. Throws `ApiError`. */
    of({ id }: ChatFile): Promise<string>;
}
