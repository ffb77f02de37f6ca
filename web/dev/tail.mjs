// The stream of new records.

import { fits, summary } from './answers.mjs';
import { random } from './data.mjs';

const roll = random(11);
let latest = 0;

export function tail(request, response, url, data, asked) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write(`event: begin\nid: ${data.records[0]?.id ?? 0}\ndata:\n\n`);
  if (asked.still === 'true') return;
  const timer = setInterval(() => {
    latest = Math.max(latest, data.records[0]?.id ?? 0) + 1;
    const record = data.make(latest, Date.now());
    data.records.unshift(record);
    if (!fits(record, url.searchParams)) return;
    response.write(`event: record\nid: ${record.id}\ndata: ${JSON.stringify(summary(record))}\n\n`);
    // Connections break; the page has to cope.
    if (asked.breaking && roll() < 0.2) response.destroy();
  }, Number(asked.every ?? 700));
  request.on('close', () => clearInterval(timer));
}
