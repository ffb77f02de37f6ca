// Landline as far as the pages need it: serves dist/ with the real content security policy, and
// answers the API from made-up data.
//
//   node dev/mock.mjs [--port 4173] [--slow 1500] [--empty] [--failing 503] [--refusing 403]
//                    [--still] [--every 700] [--breaking] [--metrics http://127.0.0.1:9090]
//
// --slow waits that many milliseconds before each answer, --failing answers with that status,
// --refusing does so for changes only, --still sends no new records, --every says after how many
// milliseconds one comes, --breaking breaks the stream now and then, --metrics asks a real Prometheus
// for samples. A request can ask for the same with a cookie `mock=slow=1500&empty`.

import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { answer } from './answers.mjs';
import { answerArtefacts, download } from './artefact-answers.mjs';
import { makeArtefacts } from './artefacts.mjs';
import { makeData } from './data.mjs';
import { metrics } from './metrics.mjs';
import { place } from './places.mjs';
import { tail } from './tail.mjs';

const DIST = fileURLToPath(new URL('../dist/', import.meta.url));
const STYLE = fileURLToPath(new URL('../../crates/app/src/pages/style.css', import.meta.url));
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const TYPES = { '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.html': 'text/html; charset=utf-8' };

function optionsOf(list) {
  const options = {};
  for (let index = 0; index < list.length; index += 1) {
    const name = list[index].replace(/^--/, '');
    const value = list[index + 1];
    if (value !== undefined && !value.startsWith('--')) {
      options[name] = value;
      index += 1;
    } else options[name] = 'true';
  }
  return options;
}

function cookieOptions(request) {
  const text = /(?:^|; )mock=([^;]*)/.exec(request.headers.cookie ?? '')?.[1] ?? '';
  return Object.fromEntries([...new URLSearchParams(decodeURIComponent(text))].map(([name, value]) => [name, value || 'true']));
}

export function serve(options = {}) {
  const full = { ...makeData(), artefacts: makeArtefacts() };
  const none = { ...full, records: [], groups: [], quarantine: [], skipped: [], artefacts: { groups: [], runs: [], clients: [] } };
  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://mock');
    const asked = { ...options, ...cookieOptions(request) };
    if (url.pathname.startsWith('/api/v1/')) {
      setTimeout(() => samples(response, url, asked), Number(asked.slow ?? 0));
    } else if (url.pathname.startsWith('/v1/')) {
      const data = asked.empty ? none : full;
      setTimeout(() => api(request, response, url, asked, data), Number(asked.slow ?? 0));
    } else page(response, url);
  });
  return new Promise((done) => server.listen(Number(options.port ?? 4173), '127.0.0.1', () => done(server)));
}

async function samples(response, url, asked) {
  if (asked.failing) return send(response, Number(asked.failing), refusal(Number(asked.failing)));
  if (!asked.metrics) return send(response, ...metrics(url, asked));
  const answer = await fetch(asked.metrics + url.pathname + url.search);
  response.writeHead(answer.status, { 'content-type': 'application/json' });
  response.end(Buffer.from(await answer.arrayBuffer()));
}

function api(request, response, url, asked, data) {
  if (asked.refusing && request.method !== 'GET') return send(response, Number(asked.refusing), refusal(Number(asked.refusing)));
  if (asked.failing) return send(response, Number(asked.failing), refusal(Number(asked.failing)));
  if (url.pathname === '/v1/records/tail') return tail(request, response, url, data, asked);
  let body = '';
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => {
    const given = body === '' ? null : JSON.parse(body);
    const isOfRuns = url.pathname.startsWith('/v1/artefacts/');
    const result = place(url.pathname, asked) ?? (isOfRuns ? answerArtefacts(data.artefacts, url, given, request.method) : answer(data, url, given, request.method));
    if (result === null) send(response, 404, refusal(404));
    else if (result.refused) send(response, result.refused, { error: { code: 'refused', message: result.message } });
    else send(response, 200, result);
  });
}

const refusal = (status) => ({ error: { code: { 403: 'forbidden', 404: 'not_found', 503: 'unavailable' }[status] ?? 'refused', message: { 403: 'none of your roles reads records', 404: 'it is not there', 503: 'the store does not answer' }[status] ?? `refused with ${status}` } });

function send(response, status, value) {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(value));
}

function page(response, url) {
  if (url.pathname.startsWith('/telemetryui/records/export/')) {
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(`"id","external"\n# ${url.search}\n`);
  } else if (url.pathname.startsWith('/ui/')) {
    const file = join(DIST, normalize(url.pathname.slice(4)));
    if (!file.startsWith(DIST) || !existsSync(file)) return void response.writeHead(404).end();
    response.writeHead(200, { 'content-type': TYPES[extname(file)] ?? 'application/octet-stream', 'x-content-type-options': 'nosniff' });
    createReadStream(file).pipe(response);
  } else if (url.pathname.startsWith('/download/')) {
    const [bytes, type] = download(url.pathname);
    response.writeHead(200, { 'content-type': type });
    response.end(bytes);
  } else if (/^\/((explore|targets|graph|query)?$|(telemetryui|runs)(\/|$))/.test(url.pathname)) {
    response.writeHead(200, { 'content-type': TYPES['.html'], 'content-security-policy': POLICY, 'cache-control': 'no-store' });
    response.end(readFileSync(join(DIST, 'index.html')));
  } else if (url.pathname === '/landline.css') {
    response.writeHead(200, { 'content-type': TYPES['.css'] });
    response.end(readFileSync(STYLE));
  } else {
    response.writeHead(200, { 'content-type': TYPES['.html'] });
    response.end(`<!doctype html><title>${url.pathname === '/login' ? 'Sign in' : 'Landline'}</title><link rel="stylesheet" href="/landline.css"><main><h1>${url.pathname === '/login' ? 'Sign in' : 'Landline'}</h1><p><a href="/telemetryui/">Records</a>, <a href="/runs">Artefacts</a></p></main>`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const options = optionsOf(process.argv.slice(2));
  await serve(options);
  console.log(`http://127.0.0.1:${options.port ?? 4173}/telemetryui/`);
}
