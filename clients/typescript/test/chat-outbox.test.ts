import assert from "node:assert/strict";
import { test } from "node:test";
import { Api, ApiError } from "../src/client/api.js";
import { Outbox } from "../src/client/chat-outbox.js";
import type { ChatMessage } from "../src/client/chat-types.js";
import type { Frame } from "../src/client/connection.js";
import type { Environment } from "../src/client/environment.js";
import { Clock, settle } from "./world.js";

/** An outbox, and a service that answers as the test says. */
class Post {
  readonly clock = new Clock();
  readonly sent: Frame[] = [];
  isOpen = true;
  answer: (frame: Frame) => Frame = (frame) => ({ type: "ack", message: { client_message_id: frame["client_message_id"] } });
  readonly outbox: Outbox;

  constructor() {
    const environment = {
      now: () => this.clock.now,
      setTimeout: (work: () => void, milliseconds: number) => this.clock.set(work, milliseconds),
      clearTimeout: (timer: unknown) => this.clock.clear(timer),
    } as Partial<Environment> as Environment;
    this.outbox = new Outbox({
      api: new Api({ token: "t", environment }),
      isOpen: () => this.isOpen,
      ask: async (frame) => {
        this.sent.push(frame);
        return this.answer(frame);
      },
      onChange: () => undefined,
      onSent: (message: ChatMessage) => this.outbox.remove(message.client_message_id),
    });
  }

  get texts(): unknown[] {
    return this.sent.map((frame) => frame["text"]);
  }
}

function refuse(code: string, retryAfter?: number): () => Frame {
  return () => {
    throw new ApiError(code === "network_error" ? 0 : 400, code, `Because of ${code}.`, {}, retryAfter);
  };
}

test("messages go out one after the other, and are gone when they have arrived", async () => {
  const post = new Post();
  for (const text of ["One", "Two", "Three"]) post.outbox.add("c", { text });
  await settle();
  assert.deepEqual(post.texts, ["One", "Two", "Three"]);
  assert.deepEqual(post.outbox.of("c"), []);
});

test("without a connection they wait, and go out in order when there is one", async () => {
  const post = new Post();
  post.isOpen = false;
  for (const text of ["One", "Two"]) post.outbox.add("c", { text });
  await settle();
  assert.deepEqual(post.texts, []);
  assert.deepEqual(post.outbox.of("c").map(({ state }) => state), ["waiting", "waiting"]);
  post.isOpen = true;
  post.outbox.flush();
  await settle();
  assert.deepEqual(post.texts, ["One", "Two"]);
});

test("one that got no answer is sent again with the same id", async () => {
  const post = new Post();
  const { answer } = post;
  post.answer = refuse("network_error");
  post.outbox.add("c", { text: "Once" });
  await settle();
  post.answer = answer;
  await post.clock.pass(5_000);
  assert.equal(post.sent.length, 2);
  assert.equal(post.sent[0]?.["client_message_id"], post.sent[1]?.["client_message_id"]);
  assert.deepEqual(post.outbox.of("c"), []);
});

test("it waits as long as the service says", async () => {
  const post = new Post();
  const { answer } = post;
  post.answer = refuse("throttled", 7);
  post.outbox.add("c", { text: "Patience" });
  await settle();
  post.answer = answer;
  await post.clock.pass(6_900);
  assert.equal(post.sent.length, 1);
  await post.clock.pass(200);
  assert.equal(post.sent.length, 2);
});

test("what is refused for good says why, stops nothing, and can be tried again or given up", async () => {
  const post = new Post();
  const { answer } = post;
  post.answer = (frame) => (frame["text"] === "Bad" ? refuse("permission_denied")() : answer(frame));
  const bad = post.outbox.add("c", { text: "Bad" });
  post.outbox.add("c", { text: "Good" });
  await settle();
  assert.deepEqual(post.texts, ["Bad", "Good"]);
  assert.deepEqual(post.outbox.of("c").map(({ state, reason }) => [state, reason]), [["failed", "Because of permission_denied."]]);
  post.answer = answer;
  post.outbox.retry(bad.clientMessageId);
  await settle();
  assert.deepEqual(post.texts, ["Bad", "Good", "Bad"]);
  assert.deepEqual(post.outbox.of("c"), []);
});
