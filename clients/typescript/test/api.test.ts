import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Api, ApiError } from "../src/client/api.js";
import { NotificationApi } from "../src/client/rest.js";
import { nameOfBearer } from "../src/client/tabs.js";
import { World } from "./world.js";

function apiOf(world: World, token: ConstructorParameters<typeof Api>[0]["token"] = "token"): NotificationApi {
  return new NotificationApi({ baseUrl: "http://service.test/", token, environment: world.environment });
}

describe("errors", () => {
  test("carry status, code, words, fields and the time to wait", async () => {
    const world = new World();
    const body = { detail: "Bad.", code: "invalid", errors: { ids: ["At most 500."] } };
    world.answer = () => ({ status: 429, body, headers: { "Retry-After": "3" } });
    const failed = await apiOf(world).markManyRead(["x"]).catch((error: unknown) => error);
    assert.ok(failed instanceof ApiError);
    const { status, code, detail, errors, retryAfter } = failed;
    assert.deepEqual({ status, code, detail, errors, retryAfter }, { status: 429, ...body, retryAfter: 3 });
  });

  test("no answer and no JSON are errors of the same kind", async () => {
    const world = new World();
    world.answer = () => undefined;
    await assert.rejects(apiOf(world).list(), { name: "ApiError", status: 0, code: "network_error" });
    world.environment.fetch = (async () => new Response("<html>", { status: 502 })) as typeof fetch;
    await assert.rejects(apiOf(world).list(), { name: "ApiError", status: 502, code: "error" });
  });
});

describe("tokens", () => {
  test("are asked for once, and renewed once however many requests were refused", async () => {
    const world = new World();
    const asked: boolean[] = [];
    const api = apiOf(world, async ({ refresh }) => (asked.push(refresh), refresh ? "new" : "old"));
    world.answer = ({ token }) => (token === "old" ? { status: 401, body: {} } : { status: 200, body: { unread: 1 } });
    assert.deepEqual(await Promise.all([api.unreadCount(), api.unreadCount(), api.unreadCount()]), [1, 1, 1]);
    assert.deepEqual(asked, [false, true]);
  });

  test("that are refused again are an error", async () => {
    const world = new World();
    world.answer = () => ({ status: 401, body: { code: "invalid_token", detail: "No." } });
    await assert.rejects(apiOf(world, () => "x").unreadCount(), { status: 401, code: "invalid_token" });
    assert.equal(world.requests.length, 2);
  });

  test("name their bearer by all that lasts", () => {
    const token = (claims: object): string => `h.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.s`;
    const name = nameOfBearer(token({ sub: "ü", tenant: "a", exp: 1, iat: 0, jti: "1" }));
    assert.equal(nameOfBearer(token({ jti: "2", exp: 2, iat: 1, tenant: "a", sub: "ü" })), name);
    assert.notEqual(nameOfBearer(token({ sub: "ü", tenant: "b" })), name);
    assert.notEqual(nameOfBearer(token({ sub: "u", tenant: "a" })), name);
    assert.notEqual(nameOfBearer("opaque-1"), nameOfBearer("opaque-2"));
    assert.doesNotMatch(nameOfBearer("opaque-secret"), /opaque/);
  });
});

test("a list is asked for with its filters, and goes on by cursor", async () => {
  const world = new World();
  const next = "http://127.0.0.1:3001/api/v1/users/me/notifications?cursor=cD0y&page_size=2";
  world.answer = () => ({ status: 200, body: { results: [{ id: "1" }], next, previous: null } });
  const since = new Date("2026-11-20T12:00:00Z");
  const page = await apiOf(world).list({ status: "unread", priority: ["high", "urgent"], since, pageSize: 2 });
  const asked = new URL(world.requests[0]?.path ?? "", "http://x");
  assert.equal(asked.pathname, "/api/v1/users/me/notifications");
  assert.deepEqual(Object.fromEntries(asked.searchParams), {
    status: "unread",
    priority: "high,urgent",
    page_size: "2",
    cursor: "",
    since: "2026-11-20T12:00:00.000Z",
  });
  assert.deepEqual([page.items.length, page.next], [1, "cD0y"]);
});

test("each verb has its method, address and body", async () => {
  const world = new World();
  world.answer = ({ method }) => (method === "DELETE" ? { status: 204 } : { status: 200, body: {} });
  const api = apiOf(world);
  await api.markRead("a/b");
  await api.markUnread("1");
  await api.archive("1");
  await api.unarchive("1");
  await api.snooze("1", new Date("2027-01-31T08:00:00Z"));
  await api.snooze("1", null);
  await api.acknowledge("1");
  await api.markAllRead();
  await api.delete("1");
  await api.delete(["1", "2"]);
  await api.delete("read");
  await api.savePreferences({ digest: "daily" });
  const mine = "/api/v1/users/me/notifications";
  assert.deepEqual(
    world.requests.map(({ method, path, body }) => [method, path, body]),
    [
      ["PATCH", `${mine}/a%2Fb/read`, undefined],
      ["PATCH", `${mine}/1/unread`, undefined],
      ["POST", `${mine}/1/archive`, undefined],
      ["POST", `${mine}/1/unarchive`, undefined],
      ["POST", `${mine}/1/snooze`, { until: "2027-01-31T08:00:00.000Z" }],
      ["POST", `${mine}/1/snooze`, { until: null }],
      ["PUT", "/api/v1/notifications/1/acknowledge", undefined],
      ["POST", `${mine}/mark-all-read`, undefined],
      ["DELETE", `${mine}/1`, undefined],
      ["DELETE", mine, { ids: ["1", "2"] }],
      ["DELETE", mine, { read: true }],
      ["PUT", "/api/v1/users/me/preferences", { digest: "daily" }],
    ],
  );
});
