import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { Api } from "../src/client/api.js";
import { ChatClient } from "../src/client/chat.js";
import type { ChatMessage, Conversation } from "../src/client/chat-types.js";
import type { Frame } from "../src/client/connection.js";
import { Clock, FakeBrowser, World, settle } from "./world.js";

const ID = "c-1";
const TOKEN = `h.${Buffer.from(JSON.stringify({ sub: "uma", exp: 1 })).toString("base64url")}.s`;

function said(seq: number, more: Partial<ChatMessage> = {}): ChatMessage {
  const fixed = { conversation_id: ID, message_type: "text", file: null, reply_to: null, reactions: [] } as const;
  const times = { created_at: `2026-11-20T12:00:${String(seq).padStart(2, "0")}Z`, edited_at: null, deleted_at: null };
  const own = { id: `m-${seq}`, seq, revision: seq, client_message_id: `x-${seq}`, text: `Number ${seq}` };
  return { ...fixed, ...times, ...own, sender_id: "hanna", sender_name: "Hanna", ...more };
}

/** What the service has: so many messages of one conversation. */
let top: number;

function conversation(): Conversation {
  const people = ["uma", "hanna"].map((user_id) => ({ user_id, name: user_id, role: "member", last_read_seq: 0, joined_at: "" }));
  const fixed = { kind: "direct", title: "", description: "", is_open: false, participant_count: 2, role: "member", muted: false };
  const state = { last_seq: top, revision: top, last_message: said(top), last_read_seq: 0, unread_count: top };
  return { id: ID, ...fixed, ...state, participants: people, active_at: "2026", created_at: "2026" } as Conversation;
}

/** A tab with a chat. Its socket answers as the service does. */
class Tab {
  readonly heard: string[] = [];
  readonly client: ChatClient;

  constructor(readonly world: World) {
    const usual = world.answer;
    world.answer = (request) => {
      if (request.path.includes("/messages/")) {
        return { status: 200, body: { previous: null, next: null, last_seq: top, revision: top, results: [said(top)] } };
      }
      if (request.path.endsWith("/conversations/")) return { status: 200, body: { results: [conversation()] } };
      return usual(request);
    };
    const api = new Api({ baseUrl: "http://service.test", token: TOKEN, environment: world.environment });
    this.client = new ChatClient({ api, tenantId: "t" });
    this.client.on("message", ({ text }) => this.heard.push(text));
  }

  async start(): Promise<this> {
    this.client.start();
    await settle();
    return this;
  }

  get texts(): string[] {
    return this.client.log(ID).messages.map(({ text }) => text);
  }

  sent(type: string): Frame[] {
    return this.world.sockets.flatMap((socket) => socket.all(type));
  }

  async says(frame: Frame): Promise<void> {
    await this.world.socket.says({ conversation_id: ID, ...frame });
  }

  /** The service lets the tab in, and answers all that it asks of conversations. */
  async greet(): Promise<void> {
    await this.world.socket.says({ type: "connection_established", user_id: "uma", heartbeat_seconds: 25 });
    await this.answerAll();
  }

  async answerAll(): Promise<void> {
    const answered = new Set<unknown>();
    for (let more = true; more; ) {
      const open = this.world.socket.sent.filter(({ type, ref }) => (type === "join_conversation" || type === "resume") && !answered.has(ref));
      more = open.length > 0;
      for (const { type, ref } of open) {
        answered.add(ref);
        const at = { last_seq: top, revision: top, ref };
        await this.says(type === "resume" ? { type: "resumed", count: 0, ...at } : { type: "conversation_joined", participants: [], ...at });
      }
    }
  }
}

describe("tabs that chat", () => {
  let first: Tab;
  let second: Tab;
  let clock: Clock;

  beforeEach(async () => {
    top = 1;
    clock = new Clock();
    const browser = new FakeBrowser();
    first = await new Tab(World.tab(browser, clock)).start();
    await first.greet();
    const world = World.tab(browser, clock);
    world.draw = 0.7; // another tab names its questions in another way
    second = await new Tab(world).start();
    await first.answerAll();
    for (const tab of [first, second]) {
      const opened = tab.client.open(ID);
      await settle();
      await first.answerAll();
      await opened;
    }
  });

  test("share one socket, and know whose it is", () => {
    assert.deepEqual([first.world.sockets.length, second.world.sockets.length], [1, 0]);
    assert.deepEqual([first.client.status, second.client.status, second.client.userId], ["open", "open", "uma"]);
    assert.equal(first.sent("join_conversation").length, 1, "the list is listened to once");
  });

  test("hear the same", async () => {
    await first.says({ type: "new_message", message: said(2) as unknown });
    await first.says({ type: "typing_indicator", user_id: "hanna", typing: true, expires_in: 6 });
    await first.says({ type: "presence_changed", user_id: "hanna", status: "busy" });
    for (const tab of [first, second]) {
      assert.deepEqual([tab.texts, tab.heard], [["Number 1", "Number 2"], ["Number 2"]]);
      assert.deepEqual([tab.client.typing(ID), tab.client.presence("hanna")], [["hanna"], "busy"]);
    }
    await clock.pass(6_000);
    assert.deepEqual([first.client.typing(ID), second.client.typing(ID)], [[], []]);
  });

  test("each gets its own answers through the one that leads", async () => {
    second.client.send(ID, { text: "From the second" });
    await settle();
    const [command] = first.sent("send_message");
    assert.equal(command?.["text"], "From the second");
    const message = said(2, { sender_id: "uma", client_message_id: String(command?.["client_message_id"]), text: "From the second" });
    await first.says({ type: "new_message", message: message as unknown });
    await first.says({ type: "ack", ref: command?.["ref"], message: message as unknown });
    for (const tab of [first, second]) assert.deepEqual([tab.texts.at(-1), tab.client.outgoing(ID)], ["From the second", []]);
  });

  test("what one has missed says nothing of the others", async () => {
    await first.says({ type: "resumed", ref: "another's-7", last_seq: 9, revision: 9 });
    assert.deepEqual([first.client.log(ID).revision, second.client.log(ID).revision], [1, 1]);
  });

  test("read in one is read in all", async () => {
    second.client.markRead(ID, 1);
    await settle();
    assert.equal(first.sent("mark_read").length, 1);
    await first.says({ type: "read_receipt", user_id: "uma", last_read_seq: 1 });
    assert.deepEqual([first, second].map(({ client }) => client.conversation(ID)?.unread_count), [0, 0]);
  });

  test("typing in any is told by the one that leads, and not at every key", async () => {
    second.client.type(ID);
    second.client.type(ID);
    await settle();
    assert.equal(first.sent("start_typing").length, 1);
    second.client.stopTyping(ID);
    await settle();
    assert.equal(first.sent("stop_typing").length, 1);
  });

  describe("after a lost connection", () => {
    const reconnect = async (): Promise<void> => {
      await first.world.socket.ends(1006);
      await clock.pass(1_000);
      await first.world.socket.says({ type: "connection_established", user_id: "uma", heartbeat_seconds: 25 });
    };

    test("what was typed before the conversation was joined is told once it is, unless that is long ago", async () => {
      const told = (): number => first.world.socket.all("start_typing").length;
      await reconnect();
      second.client.type(ID); // the service answers that one has to join first
      await settle();
      assert.equal(told(), 1);
      await first.answerAll();
      assert.equal(told(), 2);
      await clock.pass(5_500);
      await reconnect();
      await first.answerAll();
      assert.equal(told(), 0);
    });

    test("a conversation that could not be joined is tried again", async () => {
      const joins = (): Frame[] => first.world.socket.all("join_conversation");
      await reconnect();
      const asked = joins().length;
      assert.ok(asked > 0);
      for (const { ref } of joins()) await first.says({ type: "error", code: "rate_limited", detail: "Slow down.", ref });
      await clock.pass(3_000);
      assert.equal(joins().length, asked * 2);
      await first.answerAll();
      await clock.pass(30_000);
      assert.equal(joins().length, asked * 2);
    });
  });

  test("when the one that leads goes, the next connects, and sends what got no answer once more", async () => {
    second.client.send(ID, { text: "In between" });
    await settle();
    const [lost] = first.sent("send_message");
    await first.world.leaves();
    assert.equal(second.world.sockets.length, 1);
    top = 2;
    await second.greet();
    await clock.pass(3_000);
    const [again] = second.sent("send_message");
    assert.equal(again?.["client_message_id"], lost?.["client_message_id"]);
    assert.equal(second.sent("join_conversation").length, 1);
    assert.deepEqual(second.sent("resume")[0]?.["after_revision"], 1);
    assert.equal(second.client.outgoing(ID).length, 1);
  });
});
