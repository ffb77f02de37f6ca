// A record as a client sends it: over plain HTTP, past the browser.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

export async function send(task, payload) {
  const { path, tid, body } = task.live;
  const record = { ...JSON.parse(body), payload, event_id: randomBytes(16).toString('hex') };
  const answer = await fetch(`http://127.0.0.1:${task.port}${path}`, {
    method: 'POST',
    headers: { [tid[0]]: tid[1], 'content-type': 'application/json' },
    body: JSON.stringify(record),
  });
  assert.equal(answer.status, 201, await answer.text());
}
