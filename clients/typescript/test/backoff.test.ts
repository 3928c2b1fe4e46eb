import assert from "node:assert/strict";
import { test } from "node:test";

import { Backoff } from "../src/client/backoff.js";

test("waits grow twofold up to the cap, and start again after a reset", () => {
  const backoff = new Backoff(() => 1, 1_000, 30_000);
  const waits = Array.from({ length: 8 }, () => backoff.next());
  assert.deepEqual(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  backoff.reset();
  assert.equal(backoff.next(), 1_000);
});

test("jitter is full: anything from nothing to the whole wait", () => {
  const draws = [0, 0.25, 0.999];
  const backoff = new Backoff(() => draws.shift() ?? 0, 1_000, 30_000);
  assert.deepEqual([backoff.next(), backoff.next(), backoff.next()], [0, 500, 3_996]);
});
