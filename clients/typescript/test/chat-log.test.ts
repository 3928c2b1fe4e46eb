import assert from "node:assert/strict";
import { test } from "node:test";
import { ChatLog, reacted } from "../src/client/chat-log.js";
import type { ChatMessage, HistoryPage } from "../src/client/chat-types.js";

function message(seq: number, revision = seq, changes: Partial<ChatMessage> = {}): ChatMessage {
  return {
    id: `m${seq}`,
    conversation_id: "c",
    seq,
    revision,
    client_message_id: `client-${seq}`,
    sender_id: "7",
    sender_name: "Ada",
    message_type: "text",
    text: `Message ${seq}`,
    file: null,
    reply_to: null,
    reactions: [],
    created_at: "2026-01-01T00:00:00Z",
    edited_at: null,
    deleted_at: null,
    ...changes,
  };
}

function page(from: number, to: number, revision = to): HistoryPage {
  const results = Array.from({ length: to - from + 1 }, (_, index) => message(from + index));
  return { results, previous: from > 1 ? "older" : null, next: null, last_seq: to, revision };
}

function loaded(from: number, to: number, revision = to): ChatLog {
  const log = new ChatLog();
  log.reset(page(from, to, revision));
  return log;
}

const seqs = (log: ChatLog): number[] => log.messages.map(({ seq }) => seq);

test("takes what follows, once, and nothing that leaves a gap", () => {
  const log = loaded(1, 3);
  assert.equal(log.take(message(4)), "applied");
  assert.equal(log.take(message(4)), "known");
  assert.equal(log.take(message(6)), "gap");
  assert.deepEqual(seqs(log), [1, 2, 3, 4]);
  assert.equal(log.take(message(5)), "applied");
  assert.equal(log.take(message(6)), "applied");
  assert.deepEqual(seqs(log), [1, 2, 3, 4, 5, 6]);
});

test("knows nothing before it is loaded", () => {
  const log = new ChatLog();
  assert.equal(log.take(message(1)), "known");
  assert.deepEqual(seqs(log), []);
});

test("replaces a message by a newer one and never by an older one", () => {
  const log = loaded(1, 2);
  assert.equal(log.take(message(1, 3, { text: "Changed" })), "applied");
  assert.equal(log.messages[0]?.text, "Changed");
  assert.equal(log.take(message(1, 2, { text: "Old" })), "known");
  assert.equal(log.messages[0]?.text, "Changed");
});

test("what was missed comes in order but not revision by revision, and ends with the top", () => {
  const log = loaded(1, 3);
  log.resume();
  assert.equal(log.take(message(5, 9)), "applied");
  assert.equal(log.take(message(2, 8, { text: "Changed" })), "applied");
  log.resumed(5, 9);
  assert.deepEqual([log.lastSeq, log.revision], [5, 9]);
  assert.equal(log.messages[1]?.text, "Changed");
  assert.equal(log.take(message(6, 10)), "applied");
  assert.equal(log.take(message(7, 12)), "gap");
});

test("a change of a message that is not loaded counts, and is not drawn", () => {
  const log = loaded(10, 12);
  assert.equal(log.take(message(2, 13, { text: "Changed" })), "applied");
  assert.deepEqual(seqs(log), [10, 11, 12]);
  assert.equal(log.revision, 13);
});

test("older pages are put before, without what is there already", () => {
  const log = loaded(4, 6);
  assert.equal(log.hasOlder, true);
  log.prepend(page(1, 4));
  assert.deepEqual(seqs(log), [1, 2, 3, 4, 5, 6]);
  assert.equal(log.hasOlder, false);
  assert.equal(log.revision, 6);
});

test("reactions come and go, each person once", () => {
  const log = loaded(1, 1);
  assert.equal(log.react("m1", "7", "👍", true, 2), "applied");
  assert.equal(log.react("m1", "9", "👍", true, 3), "applied");
  assert.equal(log.react("m1", "9", "👍", true, 3), "known");
  assert.deepEqual(log.messages[0]?.reactions, [{ emoji: "👍", count: 2, user_ids: ["7", "9"] }]);
  log.react("m1", "7", "👍", false, 4);
  log.react("m1", "9", "👍", false, 5);
  assert.deepEqual(log.messages[0]?.reactions, []);
  assert.deepEqual(reacted([], "7", "👍", false), []);
});
