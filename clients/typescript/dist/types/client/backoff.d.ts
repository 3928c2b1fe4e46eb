/**
 * Exponential back-off with full jitter: the n-th wait is anything from 0 to `base` × 2ⁿ, at most `cap`
 * (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter). When a server with thousands of sockets dies,
 * its clients come back spread out instead of all at once.
 */
export declare class Backoff {
    #private;
    private readonly random;
    /** Milliseconds. */
    private readonly base;
    private readonly cap;
    constructor(random: () => number, 
    /** Milliseconds. */
    base?: number, cap?: number);
    /** Milliseconds to wait before the next attempt. */
    next(): number;
    reset(): void;
}
