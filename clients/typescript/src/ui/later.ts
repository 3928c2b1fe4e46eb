/**
 * What loads a module when it is first asked for, once, and again after that has failed:
 * `later(() => import("./x.js"))`.
 *
 * Firefox before 155 and older Chromium remember until the page is left that an address has failed
 * (github.com/whatwg/html/pull/10327). They name it in the error; with a query it is another address.
 */
export function later<Module>(load: () => Promise<Module>): () => Promise<Module> {
  let wanted: Promise<Module> | undefined;
  let failed: URL | undefined;
  let attempts = 0;

  async function attempt(): Promise<Module> {
    try {
      failed?.searchParams.set("again", String(++attempts));
      return (await (failed ? import(failed.href) : load())) as Module;
    } catch (error) {
      wanted = undefined;
      const address = error instanceof TypeError && /https?:\S+/.exec(error.message)?.[0];
      if (address) failed ??= new URL(address);
      throw error;
    }
  }

  return () => (wanted ??= attempt());
}

/** Call `work` once the page has nothing more urgent to do. */
export function whenIdle(work: () => void): void {
  if ("requestIdleCallback" in globalThis) requestIdleCallback(work, { timeout: 5_000 });
  else setTimeout(work, 1_000);
}
