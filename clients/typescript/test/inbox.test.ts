import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";

import { Inbox } from "../src/client/inbox.js";
import { NotificationClient } from "../src/client/notifications.js";
import type { Message } from "../src/client/types.js";
import { World, hello, message, settle, type Answer, type Request } from "./world.js";

let world: World;
let inbox: Inbox;
let failures: string[];
/** What a list is answered with: numbers of messages; and what is done before that. */
let listed: number[];
let before: () => Promise<void>;
let verb: Answer;

function row(seq: number): Message {
  return message(seq) as unknown as Message;
}

beforeEach(async () => {
  world = new World();
  failures = [];
  listed = [3, 2, 1];
  before = async () => undefined;
  verb = { status: 200, body: {} };
  const usual = world.answer;
  world.answer = (request: Request) => {
    if (request.method !== "GET" || request.path.includes("unread-count")) {
      return request.path.endsWith("ws-ticket") ? usual(request) : verb;
    }
    const cursor = new URL(request.path, "http://x").searchParams.get("cursor");
    if (cursor === "more") return { status: 200, body: { results: [row(0)], next: null } };
    return { status: 200, body: { results: listed.map(row), next: "http://x/?cursor=more" } };
  };
  const real = world.environment.fetch;
  world.environment.fetch = (async (url: string, init: RequestInit) => {
    const response = await real(url, init);
    if (init.method === "GET") await before();
    return response;
  }) as typeof fetch;
  const client = new NotificationClient({ baseUrl: "http://service.test", token: "t", environment: world.environment });
  inbox = new Inbox(client);
  inbox.on("failed", ({ code }) => failures.push(code));
  client.start();
  await settle();
  await world.socket.says(hello(3, { unread: 3 }));
});

const shown = (): number[] => inbox.state.messages.map(({ id }) => Number(id.slice(-12)));
const first = (): Message => inbox.state.messages[0] as Message;

async function opened(): Promise<void> {
  inbox.open();
  for (let turn = 0; turn < 20 && inbox.state.loading !== "no"; turn++) await settle();
}

describe("loading", () => {
  test("nothing is loaded before somebody looks; the count is there", async () => {
    assert.deepEqual([world.asked("/notifications").length, inbox.state.unread], [0, 3]);
    await opened();
    assert.deepEqual([shown(), inbox.state.hasMore, inbox.state.loading], [[3, 2, 1], true, "no"]);
  });

  test("pages follow each other until the last", async () => {
    await opened();
    inbox.loadMore();
    inbox.loadMore();
    await settle();
    assert.deepEqual([shown(), inbox.state.hasMore], [[3, 2, 1, 0], false]);
    assert.equal(world.asked("/notifications").length, 2);
  });

  test("what comes while the list is on its way is applied after it", async () => {
    before = async () => {
      before = async () => undefined;
      await world.socket.says(message(4));
      await world.socket.says({ type: "removed", seq: 5, unread: 2, ids: [row(2).id], reason: "deleted" });
    };
    await opened();
    assert.deepEqual(shown(), [4, 3, 1]);
  });

  test("“all read” that came before a newer message leaves that unread", async () => {
    listed = [5, 3];
    before = async () => {
      before = async () => undefined;
      await world.socket.says({ type: "read", seq: 4, unread: 0, read: true, read_at: "now", all: true });
      await world.socket.says(message(5));
    };
    await opened();
    assert.deepEqual(inbox.state.messages.map(({ read_at }) => read_at), [null, "now"]);
  });

  test("a view that empties asks for what follows, and shows nothing only when there is nothing", async () => {
    inbox.show("unread");
    await opened();
    verb = { status: 200, body: {} };
    await inbox.markAllRead();
    for (let turn = 0; turn < 20 && inbox.state.hasMore; turn++) await settle();
    assert.deepEqual([shown(), inbox.state.hasMore, inbox.state.loading], [[0], false, "no"]);
  });

  test("an error is shown and can be tried again", async () => {
    const fine = world.answer;
    world.answer = () => undefined;
    await opened();
    assert.deepEqual([inbox.state.error?.code, shown()], ["network_error", []]);
    world.answer = fine;
    inbox.reload();
    await settle();
    assert.deepEqual([inbox.state.error, shown()], [undefined, [3, 2, 1]]);
  });

  test("the snoozed have a view, which those that are snoozed elsewhere enter", async () => {
    inbox.show("snoozed");
    await settle();
    assert.match(world.asked("/notifications").at(-1)?.path ?? "", /status=snoozed/);
    assert.deepEqual(shown(), []); // none of these is snoozed
    const before = world.asked("/notifications").length;
    await world.socket.says({ type: "updated", seq: 4, unread: 2, ids: ["other"], changes: { snoozed_until: "later" } });
    assert.ok(world.asked("/notifications").length > before);
  });

  test("the answer for a view that was left is dropped", async () => {
    inbox.open();
    inbox.show("archived");
    await settle();
    assert.match(world.asked("/notifications").at(-1)?.path ?? "", /status=archived/);
    assert.deepEqual(shown(), []); // none of these is archived
  });
});

describe("changes that arrive", () => {
  beforeEach(opened);

  test("new messages stand on top, snoozed and archived ones go", async () => {
    await world.socket.says(message(4));
    await world.socket.says({ type: "updated", seq: 5, unread: 2, ids: [row(3).id], changes: { archived_at: "now" } });
    await world.socket.says({ type: "updated", seq: 6, unread: 1, ids: [row(1).id], changes: { snoozed_until: "later" } });
    assert.deepEqual([shown(), inbox.state.unread], [[4, 2], 1]);
  });

  test("what returns and is known returns at once; what is unknown is fetched", async () => {
    await world.socket.says({ type: "updated", seq: 4, unread: 2, ids: [row(3).id], changes: { archived_at: "now" } });
    await world.socket.says({ type: "updated", seq: 5, unread: 3, ids: [row(3).id], changes: { archived_at: null } });
    assert.deepEqual([shown(), world.asked("/notifications").length], [[3, 2, 1], 1]);
    await world.socket.says({ type: "updated", seq: 6, unread: 3, ids: ["other"], changes: { archived_at: null } });
    assert.equal(world.asked("/notifications").length, 2);
  });

  test("a resync loads the list anew", async () => {
    listed = [8, 7];
    await world.socket.says({ type: "resync", epoch: "e2", seq: 8, unread: 2, reason: "epoch_over" });
    assert.deepEqual(shown(), [8, 7]);
  });
});

describe("one's own changes", () => {
  beforeEach(opened);

  test("show at once and stay", async () => {
    const done = inbox.setRead(first());
    assert.notEqual(first().read_at, null);
    await done;
    assert.notEqual(first().read_at, null);
    assert.deepEqual(failures, []);
  });

  test("are taken back when they fail", async () => {
    verb = { status: 500, body: { code: "error", detail: "No." } };
    const done = inbox.setArchived(first());
    assert.deepEqual(shown(), [2, 1]);
    await done;
    assert.deepEqual([shown(), failures], [[3, 2, 1], ["error"]]);
  });

  test("a snoozed message leaves the view, and returns", async () => {
    const message = first();
    await inbox.snooze(message, new Date("2027-01-31T08:00:00Z"));
    assert.deepEqual([shown(), world.requests.at(-1)?.body], [[2, 1], { until: "2027-01-31T08:00:00.000Z" }]);
    await inbox.snooze(message, null);
    assert.deepEqual([shown(), world.requests.at(-1)?.body], [[3, 2, 1], { until: null }]);
  });

  test("a message that was not deleted stays away if it has been deleted elsewhere meanwhile", async () => {
    verb = { status: 503, body: {} };
    const done = inbox.setRead(first());
    await world.socket.says({ type: "removed", seq: 4, unread: 2, ids: [row(3).id], reason: "deleted" });
    await done;
    assert.deepEqual(shown(), [2, 1]);
  });

  test("do not overwrite what has come meanwhile", async () => {
    verb = { status: 500, body: {} };
    const done = inbox.setRead(first());
    await world.socket.says({ type: "read", seq: 4, unread: 0, read: true, read_at: "elsewhere", all: true });
    await done;
    assert.equal(first().read_at, "elsewhere");
  });

  test("mark all as read, delete and put back", async () => {
    await inbox.markAllRead();
    assert.ok(inbox.state.messages.every(({ read_at }) => read_at));
    verb = { status: 503, body: {} };
    await inbox.delete(first());
    assert.deepEqual([shown(), failures.length], [[3, 2, 1], 1]);
  });

  test("without a socket the count is fetched", async () => {
    await world.socket.ends(1012);
    verb = { status: 200, body: { unread: 2 } };
    await inbox.setRead(first());
    await settle();
    assert.equal(inbox.state.unread, 2);
  });
});
