/**
 * Exponential back-off with full jitter: the n-th wait is anything from 0 to `base` × 2ⁿ, at most `cap`
 * (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter). When a server with thousands of sockets dies,
 * its clients come back spread out instead of all at once.
 */
export class Backoff {
  #failures = 0;

  constructor(
    private readonly random: () => number,
    /** Milliseconds. */
    private readonly base = 1_000,
    private readonly cap = 30_000,
  ) {}

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    return this.random() * Math.min(this.cap, this.base * 2 ** Math.min(this.#failures++, 30));
  }

  reset(): void {
    this.#failures = 0;
  }
}
