/**
 * What loads a module when it is first asked for, once, and again after that has failed:
 * `later(() => import("./x.js"))`.
 *
 * Firefox before 155 and older Chromium remember until the page is left that an address has failed
 * (github.com/whatwg/html/pull/10327). They name it in the error; with a query it is another address.
 */
export declare function later<Module>(load: () => Promise<Module>): () => Promise<Module>;
/** Call `work` once the page has nothing more urgent to do. */
export declare function whenIdle(work: () => void): void;
