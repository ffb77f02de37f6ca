// Visits all pages in a real browser, in both themes and at two widths, and fails on what must not
// be: errors in the console, breaches of the content security policy, pages wider than a phone.
//
//   npm run build && node dev/screenshots.mjs <folder> [part of a name]

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch } from './browser.mjs';
import { LONG_EVENT } from './data.mjs';
import { serve } from './mock.mjs';

const PORT = 4180;
const folder = process.argv[2];
const only = process.argv[3] ?? '';
if (!folder) throw new Error('Say which folder the pictures go to.');
mkdirSync(folder, { recursive: true });

const PAGES = [
  ['records', '/telemetryui/'],
  ['records-filtered', '/telemetryui/records?classification=org.clearlinux%2Fcrash%2F*&severity=3&system_name=clear-linux-os&range=30d'],
  ['records-pattern', '/telemetryui/records?payload=Cannot%7Csecond%20time&not_payload=nobody'],
  ['records-partial', '/telemetryui/records?payload=TID%5Cs*%5Cd%2B97&classification=org.clearlinux%2Fcrash%2F*'],
  ['records-refused', '/telemetryui/records?payload=(a', { mayFail: true }],
  ['records-live', '/telemetryui/records?live=on', { wait: 2_500, mock: 'still=no&every=300' }],
  ['record-crash', { like: 'org.clearlinux/crash/clr' }],
  ['record-event', { event: LONG_EVENT }],
  ['record-plain', { like: 'org.clearlinux/mce/corrected' }],
  ['crashes', '/telemetryui/crashes?range=30d&hidden=true'],
  ['crashes-build', '/telemetryui/crashes/34920?range=90d'],
  ['group', '/telemetryui/crashes/guilty_details/2'],
  ['group-machines', '/telemetryui/crashes/guilty_details/1', { clicks: ['button:text-is("Show more") >> nth=0'], isWhole: true }],
  ['backtraces', '/telemetryui/crashes/guilty_details/2/backtraces'],
  ['backtraces-build', '/telemetryui/crashes/guilty_details/11/backtraces?build=34960'],
  ['backtraces-kernel', '/telemetryui/crashes/guilty_details/5/backtraces'],
  ['backtraces-none', '/telemetryui/crashes/guilty_details/2/backtraces?machine_id=nobody'],
  ['backtraces-loading', '/telemetryui/crashes/guilty_details/2/backtraces', { mock: 'slow=60000', wait: 600 }],
  ['backtraces-failing', '/telemetryui/crashes/guilty_details/2/backtraces', { mock: 'failing=503', mayFail: true }],
  ['group-asks', '/telemetryui/crashes/guilty_details/4', { fill: ['#into', '2'], clicks: ['text="Merge"', '[aria-label="main is never guilty"]'], isWhole: true }],
  ['group-merged', '/telemetryui/crashes/guilty_details/2', { post: ['groups/9/merge', { into: 2 }] }],
  ['group-empty', '/telemetryui/crashes/guilty_details/16', { post: ['groups/16/merge', { into: 7 }], wait: 4_500 }],
  ['frames', '/telemetryui/crashes/frames', { post: ['skipped-frames', { add: [{ function: 'abort', module: 'libc.so.6' }] }] }],
  ['builds', '/telemetryui/builds'],
  ['stats', '/telemetryui/stats', { hover: true }],
  ['machine-checks', '/telemetryui/mce'],
  ['thermal', '/telemetryui/thermal?by=week'],
  ['class', '/telemetryui/class?classification=org.clearlinux%2Fswupd-client%2Fupdate'],
  ['empty-thermal', '/telemetryui/thermal', { mock: 'empty' }],
  ['population', '/telemetryui/population?range=14d'],
  ['population-other', '/telemetryui/population?range=30d'],
  ['empty-population', '/telemetryui/population', { mock: 'empty' }],
  ['quarantine', '/telemetryui/quarantine?open=899'],
  ['quarantine-range', '/telemetryui/quarantine?until=2020-01-01T00:00:00Z'],
  ['missing', '/telemetryui/updates'],
  ['keys', '/telemetryui/', { press: '?' }],
  ['custom-range', '/telemetryui/stats?since=2026-11-01T00:00:00Z', { click: 'summary:has-text("Custom")' }],
  ['quarantine-asks', '/telemetryui/quarantine?open=899', { clicks: ['details[open] >> text="Make it a record"', 'details[open] >> text="Remove"'], mayFail: true }],
  ['empty-records', '/telemetryui/', { mock: 'empty' }],
  ['empty-stats', '/telemetryui/stats', { mock: 'empty' }],
  ['empty-crashes', '/telemetryui/crashes', { mock: 'empty' }],
  ['empty-frames', '/telemetryui/crashes/frames', { mock: 'empty' }],
  ['empty-quarantine', '/telemetryui/quarantine', { mock: 'empty' }],
  ['failing', '/telemetryui/stats', { mock: 'failing=503', mayFail: true }],
  ['loading', '/telemetryui/crashes', { mock: 'slow=60000', wait: 600 }],
  ['runs-groups', '/runs'],
  ['runs-list', '/runs?view=runs', { clicks: ['tbody tr:nth-child(2) input', 'tbody tr:nth-child(4) input'] }],
  ['runs-filtered', '/runs?view=runs&status=failed&tag=nightly&field=network_plugin:OVNKubernetes'],
  ['runs-group', '/runs/default'],
  ['runs-none', '/runs?tag=nobody'],
  ['runs-settings', '/runs/performance?view=settings', { clicks: ['text="Remove all runs" >> nth=1'] }],
  ['runs-recovery', '/runs/default?view=recovery', { hover: true }],
  ['run-page', { run: 5 }],
  ['run-folder', { run: 2, more: '?folder=results%2Fpods%2F' }],
  ['run-open', { run: 0 }],
  ['run-asks', { run: 6 }, { clicks: ['text="Remove"'] }],
  ['run-report', { run: 5, more: '?view=report' }, { isWhole: true }],
  ['run-no-report', { run: 0, more: '?view=report' }, { mayFail: true }],
  ['file-tar', { run: 5, more: '/prometheus.tar' }],
  ['file-versions', { run: 5, more: '/logs-openshift-etcd-00.tar.gz?versions=open' }],
  ['file-member', { run: 5, more: '/prometheus.tar?member=prometheus%2Fwal%2F00000014.log' }],
  ['file-log', { run: 5, more: '/results/krkn.log.gz' }],
  ['file-json', { run: 5, more: '/telemetry.json' }],
  ['file-alerts', { run: 5, more: '/critical-alerts-00.log' }],
  ['file-picture', { run: 5, more: '/console.png' }],
  ['file-binary', { run: 5, more: '/results/core.bin' }],
  ['file-missing', { run: 5, more: '/nothing.here' }, { mayFail: true }],
  ['compare', { compare: [5, 8] }],
  ['compare-none', '/runs?view=compare'],
  ['empty-runs', '/runs', { mock: 'empty' }],
  ['empty-recovery', '/runs/default?view=recovery', { mock: 'empty', mayFail: true }],
  ['failing-runs', '/runs/default', { mock: 'failing=503', mayFail: true }],
  ['loading-run', { run: 5 }, { mock: 'slow=60000', wait: 600 }],
  ['start', '/', { isWhole: true }],
  ['start-empty', '/', { mock: 'empty' }],
  ['start-without', '/', { mock: 'without', mayFail: true }],
  ['explore', '/explore?q1=node_load1&q2=http_requests_total', { hover: true, isWhole: true }],
  ['explore-stacked', '/explore?q1=node_cpu_seconds_total&stack=on', { wait: 1_200 }],
  ['explore-log', '/explore?q1=http_requests_total&scale=log&range=7d', { wait: 1_200 }],
  ['explore-table', '/explore?q1=up&q2=42&q3=http_requests_total&view=table&hidden=2'],
  ['explore-refused', '/explore?q1=unknown_function(up)&q2=rate(up%5B5m%5D)', { wait: 1_500, mayFail: true }],
  ['explore-new', '/explore', { clicks: ['summary:has-text("Custom")'] }],
  ['explore-none', '/explore?q1=up', { mock: 'empty' }],
  ['explore-slow', '/explore?q1=up', { mock: 'slow=60000', wait: 800 }],
  ['explore-failing', '/explore?q1=up', { mock: 'failing=503', mayFail: true }],
  ['targets', '/targets', { clicks: ['button:text-is("More") >> nth=0', 'details summary'] }],
  ['targets-down', '/targets?health=down'],
  ['targets-none', '/targets?text=nobody'],
  ['targets-empty', '/targets', { mock: 'empty' }],
  ['targets-failing', '/targets', { mock: 'failing=503', mayFail: true }],
];

const server = await serve({ port: PORT, still: 'true' });
const browser = await launch();
const problems = [];

for (const theme of ['light', 'dark']) {
  // Between the two, tables have the least room.
  for (const width of theme === 'light' ? [1280, 820, 360] : [1280, 360]) {
    const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme: theme, reducedMotion: 'reduce' });
    for (const [name, where, how = {}] of PAGES) {
      if (name.includes(only)) await visit(context, `${name}-${theme}-${width}`, where, how);
    }
    await context.close();
  }
}
await browser.close();
server.closeAllConnections();
server.close();
for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? 'No problem found.' : `${problems.length} problems.`);
process.exitCode = problems.length === 0 ? 0 : 1;

async function visit(context, name, where, how) {
  const base = `http://127.0.0.1:${PORT}`;
  await context.clearCookies();
  if (how.mock) await context.addCookies([{ name: 'mock', value: encodeURIComponent(how.mock), url: base }]);
  const page = await context.newPage();
  page.on('console', (message) => {
    const isExpected = how.mayFail && message.text().includes('Failed to load resource');
    if (['error', 'warning'].includes(message.type()) && !isExpected) problems.push(`${name}: ${message.text()}`);
  });
  page.on('pageerror', (error) => problems.push(`${name}: ${error.message}`));
  if (how.post) await fetch(`${base}/v1/records/${how.post[0]}`, { method: 'POST', body: JSON.stringify(how.post[1]) });
  await page.goto(base + (typeof where === 'string' ? where : await pathOf(base, where)), { waitUntil: 'load' });
  await page.waitForSelector('h1');
  if (!how.wait) await page.waitForLoadState('networkidle');
  await page.waitForTimeout(how.wait ?? 250);
  if (how.press) await page.keyboard.press(how.press);
  if (how.click) await page.click(how.click);
  if (how.fill) await page.fill(...how.fill);
  for (const one of how.clicks ?? []) await page.click(one);
  await page.waitForTimeout(how.clicks ? 100 : 0);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (overflow > 0) problems.push(`${name}: ${overflow} px wider than the window`);
  const headings = await page.locator('h1').count();
  if (headings !== 1) problems.push(`${name}: ${headings} headings of the first level`);
  // A phone's page can be very long; its beginning tells enough.
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  const size = page.viewportSize();
  await page.setViewportSize({ width: size.width, height: how.press ? size.height : Math.min(height, how.isWhole ? 3_000 : 1_600) });
  await page.waitForTimeout(50);
  if (how.hover) await hover(page);
  await page.screenshot({ path: join(folder, `${name}.png`) });
  await page.close();
}

async function pathOf(base, { like, event, run, more = '', compare }) {
  if (like === undefined && event === undefined) {
    const { runs } = await (await fetch(`${base}/v1/artefacts/runs?limit=20`)).json();
    const key = (number) => `${runs[number].group}/${runs[number].run}`;
    if (compare) return `/runs?${new URLSearchParams({ view: 'compare', left: key(compare[0]), right: key(compare[1]) })}`;
    return `/runs/${key(run).split('/').map(encodeURIComponent).join('/')}${more}`;
  }
  const filter = like === undefined ? { event_id: event, limit: 300 } : { classification: like, limit: 1 };
  const answer = await fetch(`${base}/v1/records?${new URLSearchParams(filter)}`);
  const { records } = await answer.json();
  return `/telemetryui/records/record_details/${records.at(-1).id}`;
}

async function hover(page) {
  const plot = page.locator('.u-over').first();
  const box = await plot.boundingBox();
  await page.mouse.move(box.x + box.width * 0.7, box.y + box.height * 0.5);
  await page.waitForTimeout(100);
}
