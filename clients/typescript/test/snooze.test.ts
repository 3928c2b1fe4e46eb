import assert from "node:assert/strict";
import { test } from "node:test";

import { snoozeMoments } from "../src/inbox/snooze.js";

function offered(now: Date): string[] {
  const two = (number: number): string => String(number).padStart(2, "0");
  return snoozeMoments(now).map(
    ([name, at]) => `${name} ${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`,
  );
}

test("on a working day: in three hours, tomorrow morning, on Monday", () => {
  assert.deepEqual(offered(new Date(2026, 10, 25, 14, 50)), ["later 11-25 17:00", "day 11-26 08:00", "week 11-30 08:00"]);
});

test("late in the evening there is no later today", () => {
  assert.deepEqual(offered(new Date(2026, 11, 31, 21, 0)), ["day 01-01 08:00", "week 01-04 08:00"]);
});

test("on a Sunday next week is not tomorrow, and on a Monday it is not today", () => {
  assert.deepEqual(offered(new Date(2026, 10, 29, 9)).slice(1), ["day 11-30 08:00", "week 12-07 08:00"]);
  assert.deepEqual(offered(new Date(2026, 10, 30, 9)).slice(1), ["day 12-01 08:00", "week 12-07 08:00"]);
});
